// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package refusal tests bad input: each case is refused with one clear
// sentence and the right code, and changes nothing.
package refusal

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
