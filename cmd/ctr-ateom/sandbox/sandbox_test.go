// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
)

func TestIsRuntime(t *testing.T) {
	for name, want := range map[string]bool{
		"io.containerd.ateom.v1":                  true,
		"/usr/local/bin/containerd-shim-ateom-v1": true,
		"io.containerd.runc.v2":                   false,
		"/opt/ateom/containerd-shim-runc-v2":      false,
		"io.containerd.ateom.v2":                  false,
		"":                                        false,
	} {
		if got := IsRuntime(name); got != want {
			t.Errorf("IsRuntime(%q) = %t, want %t", name, got, want)
		}
	}
}

// A shim computes its address from containerd's address as containerd's
// configuration spells it; users may write a link or a relative path.
func TestCandidatesCoverEverySpellingOfTheSocket(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "containerd.sock"), filepath.Join(dir, "link.sock")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	ctx := namespaces.WithNamespace(t.Context(), "k8s.io")
	want := map[string]string{"real": real, "link": link}
	for _, given := range []string{link, "link.sock"} {
		got, err := candidates(ctx, "", given, "pod")
		if err != nil {
			t.Fatal(err)
		}
		for what, spelling := range want {
			address, err := shim.SocketAddress(ctx, spelling, "pod", false)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(got, address) {
				t.Errorf("candidates for %s lack the %s path", given, what)
			}
		}
	}
}

func TestCandidatesTakeTheGivenAddress(t *testing.T) {
	for given, want := range map[string]string{"/run/x.sock": "unix:///run/x.sock", "unix:///run/x.sock": "unix:///run/x.sock"} {
		got, err := candidates(t.Context(), given, "/run/containerd/containerd.sock", "pod")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("candidates with %q: got %q, want %q alone", given, got, want)
		}
	}
}

func TestCandidatesNeedANamespace(t *testing.T) {
	if got, err := candidates(t.Context(), "", "/run/containerd/containerd.sock", "pod"); err == nil {
		t.Errorf("got %q without a namespace, want an error", got)
	}
}
