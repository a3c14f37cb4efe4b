// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Only the build of runsc that has put a sandbox to sleep can wake it up.
func TestAnInstallKeepsTheBuildsOfRunscThatItReplaces(t *testing.T) {
	o, _ := newNode(t, config3)
	before := tree(t, o.Root)
	files := map[string]string{}
	upgrade := func(release string) {
		t.Helper()
		write(t, filepath.Join(o.Source, "runsc"), "runsc "+release)
		write(t, filepath.Join(o.Source, "gvisor-bin/gvisor_sentry"), "sentry "+release)
		if err := Install(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		files = tree(t, o.Root)
	}
	wantKept := func(releases ...string) {
		t.Helper()
		kept := 0
		for path := range files {
			if strings.HasPrefix(path, "opt/ateom/builds/") && strings.HasSuffix(path, "/runsc") {
				kept++
			}
		}
		if kept != len(releases) {
			t.Errorf("%d builds are kept, want those of %q", kept, releases)
		}
		for _, r := range releases {
			dir := "opt/ateom/builds/" + digest([]byte("runsc "+r))
			for path, want := range map[string]string{"/runsc": "-rwxr-xr-x runsc " + r, "/gvisor-bin/gvisor_sentry": "-rwxr-xr-x sentry " + r} {
				if got := files[dir+path]; got != want {
					t.Errorf("%s%s is %q, want %q", dir, path, got, want)
				}
			}
		}
	}
	upgrade("1")
	wantKept()
	write(t, filepath.Join(o.Source, "containerd-shim-ateom-v1"), "shim 2")
	upgrade("1") // of everything else
	wantKept()
	upgrade("2")
	wantKept("1")

	// An installer dies when it has replaced the sentry and not yet runsc.
	write(t, filepath.Join(o.Source, "runsc"), "runsc 3")
	j, err := o.journal(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.keepBuild(j, "/opt/ateom/bin"); err != nil {
		t.Fatal(err)
	}
	if _, err := j.write("/opt/ateom/bin/gvisor-bin/gvisor_sentry", []byte("sentry 3"), 0o755); err != nil {
		t.Fatal(err)
	}
	upgrade("3")
	wantKept("1", "2")

	if err := Uninstall(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
		t.Errorf("the node (-before +after):\n%s", diff)
	}
}
