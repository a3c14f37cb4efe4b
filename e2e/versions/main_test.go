// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package versions tests ateom with several releases of its neighbours: the
// containerd that starts it, and the runsc that it starts.
package versions

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
