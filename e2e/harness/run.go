// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/e2e/spaces"
)

// A room is what belongs to one run of a package of tests.
type room struct {
	// dir holds everything that is written; its path is short, because sockets
	// lie below it.
	dir string
	// word is unique on the machine: it names containerd's namespaces and with
	// them the containers' cgroups.
	word string
	// shared is the node of Shared.
	shared lazyNode
}

func newRoom(dir string) *room {
	return &room{dir: dir, word: "e2e-" + filepath.Base(dir)}
}

// world is where the tests run.
var world = spaces.Spaces{Env: "ATEOM_E2E", Prefix: "ae", Sweep: func(dir string) error { return removeCgroups(newRoom(dir)) }}

// here is the room of this process.
var here *room

// Run runs the tests of a package in namespaces of their own, and then looks
// for what they left. It returns the exit code.
func Run(m *testing.M) int { return RunWith(m, func() error { return nil }) }

// RunWith is Run for tests that share something, which last ends before
// anybody looks for what is left.
func RunWith(m *testing.M, last func() error) int {
	done, code, err := world.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return max(1, code)
	}
	if done {
		return code
	}
	code, err = runTests(m, last)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return max(1, code)
	}
	return code
}

func runTests(m *testing.M, last func() error) (code int, err error) {
	dir := world.Dir()
	here = newRoom(dir)
	if err := os.Setenv("TMPDIR", filepath.Join(dir, "tmp")); err != nil {
		return 1, err
	}
	for _, sub := range []string{"tmp", "net", "guests"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return 1, err
		}
	}
	before, err := takeInventory(here)
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, errors.Join(last(), here.shared.close(), before.compare(here, leakLimit))
}
