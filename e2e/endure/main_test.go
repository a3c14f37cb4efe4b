// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package endure tests what only shows in the long run: kills at moments that
// are drawn by lot lose nothing, and many pauses and resumes leave nothing
// behind. make test kills some two hundred times and pauses a little, make soak does a lot.
package endure

import (
	"os"
	"strconv"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }

// Variables by which `make soak` asks for more, and by which a run is repeated.
const (
	killsEnv  = "ATEOM_KILLS"
	seedEnv   = "ATEOM_SEED"
	cyclesEnv = "ATEOM_CYCLES"
)

// number returns the number in a variable, or another one.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
