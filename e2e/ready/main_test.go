// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ready tests what a resume waits for.
package ready

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
