// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package network tests what becomes of addresses and connections.
package network

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
