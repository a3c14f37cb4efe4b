// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// containerd's configuration may have a registry's password in it.
func TestContainerdsConfigurationKeepsItsMode(t *testing.T) {
	const main, drop = "etc/containerd/config.toml", "etc/containerd/conf.d/ateom.toml"
	for name, config := range map[string]string{"version 2": config2, "version 3": config3, "none": ""} {
		for given, want := range map[os.FileMode]string{0o600: "-rw-------", 0o640: "-rw-r-----"} {
			t.Run(name+" "+want, func(t *testing.T) {
				o, restarts := newNode(t, config)
				if config == "" {
					want = "-rw-------"
				} else if err := os.Chmod(filepath.Join(o.Root, main), given); err != nil {
					t.Fatal(err)
				}
				before := tree(t, o.Root)
				wantModes := func() {
					t.Helper()
					if err := Install(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					files := tree(t, o.Root)
					for _, path := range []string{main, drop} {
						if mode, _, _ := strings.Cut(files[path], " "); mode != want {
							t.Errorf("%s has mode %s, want %s", path, mode, want)
						}
					}
				}
				wantModes()
				// As an earlier release has left them.
				for _, path := range []string{main, drop} {
					if err := os.Chmod(filepath.Join(o.Root, path), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if config != "" { // else nobody knows what it was
					wantModes()
				}
				if *restarts != 1 {
					t.Errorf("containerd was restarted %d times", *restarts)
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

// A node whose configurations are links, as tools make them, keeps the links; an
// absolute one is the node's, wherever the node's files are mounted.
func TestALinkedConfigurationStaysALink(t *testing.T) {
	const main = "etc/containerd/config.toml"
	for _, target := range []string{"/srv/containerd.toml", "../../srv/containerd.toml"} {
		t.Run(target, func(t *testing.T) {
			o, _ := newNode(t, "")
			write(t, filepath.Join(o.Root, "srv/containerd.toml"), config2)
			if err := os.MkdirAll(filepath.Join(o.Root, "etc/containerd"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(o.Root, main)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, o.Root)
			o.Restart = func(context.Context) error {
				files := tree(t, o.Root)
				if text := files["srv/containerd.toml"]; strings.Contains(text, "conf.d/ateom") != strings.Contains(files["etc/containerd/conf.d/ateom.toml"], "pause:3") {
					t.Errorf("containerd is restarted with\n%s", text)
				}
				return nil
			}
			if err := Install(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if got, err := os.Readlink(filepath.Join(o.Root, main)); err != nil || got != target {
				t.Errorf("the link is %q, %v", got, err)
			}
			if text := tree(t, o.Root)["srv/containerd.toml"]; !strings.Contains(text, "conf.d/ateom*.toml") {
				t.Errorf("what it links to is\n%s", text)
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
