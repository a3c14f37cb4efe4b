// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUninstallKeepsWhatSomebodyElseHasChanged(t *testing.T) {
	o, _ := newNode(t, config3)
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(o.Root, ConfigDir, "config.toml"), "mine now")
	write(t, filepath.Join(o.Root, "opt/ateom/bin/notes"), "mine too")
	if err := Uninstall(t.Context(), o); err == nil || !strings.Contains(err.Error(), ConfigDir+"/config.toml") {
		t.Errorf("Uninstall = %v", err)
	}
	after := tree(t, o.Root)
	if !strings.HasSuffix(after["etc/ateom/config.toml"], "mine now") || !strings.HasSuffix(after["opt/ateom/bin/notes"], "mine too") {
		t.Errorf("what is left: %v", after)
	}
	if after["etc/containerd/conf.d/ateom.toml"] != "" {
		t.Error("the drop-in is left")
	}
}

func TestUninstallFindsWhatLiesElsewhere(t *testing.T) {
	const elsewhere = "/home/kubernetes/bin/ateom"
	for name, config := range map[string]string{"version 2": config2, "version 3": config3} {
		for dirs, installed := range map[string][]string{"one": {elsewhere}, "one over another": {DefaultDir, elsewhere}, "and back": {elsewhere, DefaultDir}} {
			t.Run(name+", "+dirs, func(t *testing.T) {
				o, restarts := newNode(t, config)
				before := tree(t, o.Root)
				for _, dir := range installed {
					o.Dir = dir
					if err := Install(t.Context(), o); err != nil {
						t.Fatal(err)
					}
				}
				o.Dir = DefaultDir
				*restarts = 0
				if err := Uninstall(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
					t.Errorf("the node (-before +after):\n%s", diff)
				}
				if *restarts != 1 {
					t.Errorf("containerd was restarted %d times", *restarts)
				}
				if log := o.Log.(*bytes.Buffer).String(); !strings.Contains(log, "the installation is in "+elsewhere) {
					t.Errorf("it does not say where it was: %s", log)
				}
			})
		}
	}
}

func TestUninstallOfNothingSaysWhereItHasLooked(t *testing.T) {
	o, restarts := newNode(t, config3)
	before := tree(t, o.Root)
	if err := Uninstall(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	log := o.Log.(*bytes.Buffer).String()
	for _, want := range []string{"nothing is installed in /opt/ateom", "/etc/containerd/conf.d/ateom.toml", "--dir"} {
		if !strings.Contains(log, want) {
			t.Errorf("it does not say %q: %s", want, log)
		}
	}
	if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" || *restarts != 0 {
		t.Errorf("containerd was restarted %d times; the node (-before +after):\n%s", *restarts, diff)
	}
}

func TestUninstallTakesADropInOfSomebodyElseForTheirs(t *testing.T) {
	o, _ := newNode(t, config3)
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	const path = "/etc/containerd/conf.d/ateom.toml"
	write(t, filepath.Join(o.Root, path), "this is no TOML")
	if err := Uninstall(t.Context(), o); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Uninstall = %v", err)
	}
	after := tree(t, o.Root)
	if !strings.HasSuffix(after[path[1:]], "no TOML") || after["opt/ateom"] != "" {
		t.Errorf("what is left: %v", after)
	}
}
