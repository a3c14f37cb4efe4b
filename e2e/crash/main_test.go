// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crash tests what becomes of a sandbox when something dies, or the disk
// is full, at a moment that the test chooses. Package endure draws its moments by lot.
package crash

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
