// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pause tests Pause and Resume: programs go on where they were, and no
// failure on the way takes the running sandbox away.
package pause

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
