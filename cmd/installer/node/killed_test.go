// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The node is what an installer sees that comes after one that was killed at some
// moment. Each of these states is what the disk holds then.
func TestAnInstallerThatIsKilledLeavesNothingThatUninstallDoesNotKnow(t *testing.T) {
	for name, kill := range map[string]func(t *testing.T, o Options){
		"before it wrote anything down": func(t *testing.T, o Options) {
			if err := os.Mkdir(filepath.Join(o.Root, o.Dir), 0o755); err != nil {
				t.Fatal(err)
			}
		},
		"when it had made a directory": func(t *testing.T, o Options) {
			j, err := o.journal(o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.settle(); err != nil {
				t.Fatal(err)
			}
			if err := j.mkdir(filepath.Join(o.Dir, "bin", "gvisor-bin")); err != nil {
				t.Fatal(err)
			}
		},
		"while it went back": func(t *testing.T, o Options) {
			if err := Install(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			// What cannot be undone stands for the death before its turn.
			path := filepath.Join(o.Root, ConfigDir, "config.toml")
			aside := filepath.Join(t.TempDir(), "aside")
			if err := errors.Join(os.Rename(path, aside), os.Mkdir(path, 0o755)); err != nil {
				t.Fatal(err)
			}
			if err := Uninstall(t.Context(), o); err == nil {
				t.Error("Uninstall has removed a directory that it takes for a file")
			}
			if err := errors.Join(os.Remove(path), os.Rename(aside, path)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, again := range []bool{true, false} {
			if !again && name == "before it wrote anything down" {
				continue // nobody knows whose directory it is
			}
			t.Run(name, func(t *testing.T) {
				o, _ := newNode(t, config3)
				before := tree(t, o.Root)
				kill(t, o)
				if again {
					if err := Install(t.Context(), o); err != nil {
						t.Fatal(err)
					}
				}
				if err := Uninstall(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
					t.Errorf("the node (-before +after):\n%s", diff)
				}
			})
		}
	}
}
