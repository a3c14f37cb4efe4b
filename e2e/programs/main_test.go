// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package programs tests that real programs of Debian sleep, move to other nodes
// and wake up with all that they held: a service in Python, and Redis.
package programs

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
