// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package task tests the shim as a shim: what containerd and its clients
// expect of every runtime.
package task

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
