// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// containerd goes on with the runtime that is gone until it is restarted.
func TestARestartThatAnUninstallOwesIsMadeUpFor(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"it failed":     func(context.Context) error { return errors.New("it does not serve") },
		"it was killed": func(context.Context) error { panic("killed") },
	} {
		for _, dir := range []string{DefaultDir, "/home/kubernetes/bin/ateom"} {
			t.Run(name+" "+dir, func(t *testing.T) {
				o, restarts := newNode(t, config3)
				before := tree(t, o.Root)
				o.Dir = dir
				if err := Install(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				o.Dir = DefaultDir
				*restarts = 0
				restart := o.Restart
				o.Restart = fail
				func() {
					defer func() { recover() }()
					if err := Uninstall(t.Context(), o); err == nil || !strings.Contains(err.Error(), "does not serve") {
						t.Errorf("Uninstall = %v", err)
					}
				}()
				o.Restart = restart
				for range 2 { // the second has nothing to do
					if err := Uninstall(t.Context(), o); err != nil {
						t.Fatal(err)
					}
				}
				if *restarts != 1 {
					t.Errorf("containerd was restarted %d times, want once", *restarts)
				}
				if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
					t.Errorf("the node (-before +after):\n%s", diff)
				}
			})
		}
	}
}

// An install that could not even restart containerd as it was owes that, and goes
// back as well the next time.
func TestAnInstallThatCouldNotGoBackGoesBackTheNextTime(t *testing.T) {
	o, _ := newNode(t, config3)
	before := tree(t, o.Root)
	o.Restart = func(context.Context) error { return errors.New("it does not serve") }
	if err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "going back failed") {
		t.Errorf("Install = %v", err)
	}
	o.Restart = func(context.Context) error {
		if _, err := os.Stat(filepath.Join(o.Root, "etc/containerd/conf.d/ateom.toml")); err == nil {
			return errors.New("it does not serve with the drop-in")
		}
		return nil
	}
	if err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the node is as it was") {
		t.Errorf("Install = %v", err)
	}
	if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
		t.Errorf("the node (-before +after):\n%s", diff)
	}
}
