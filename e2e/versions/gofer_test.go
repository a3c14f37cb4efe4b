// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package versions

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A gofer of another release than the shim is refused by both, before anything is
// frozen, written or fetched; with the right one at its place, all goes on.
func TestAGoferOfAnotherReleaseIsRefused(t *testing.T) {
	t.Parallel()
	real, err := harness.Program("ateom-gofer")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(filepath.Dir(real), "gvisor-bin"), filepath.Join(dir, "gvisor-bin")); err != nil {
		t.Fatal(err)
	}
	path, store := filepath.Join(dir, "ateom-gofer"), filepath.Join(dir, "store")
	// put puts a gofer in its place whose wire is edited.
	put := func(in, out string) {
		t.Helper()
		script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = job ] || exec %[1]s \"$@\"\nsed -u '%[2]s' | %[1]s \"$@\" | sed -u '%[3]s'\n", real, in, out)
		if err := os.WriteFile(path+".new", []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	now := fmt.Sprintf(`"version":%d`, job.Version)
	edit := func(to int) string { return fmt.Sprintf(`s/^{%s,/{"version":%d,/`, now, to) }
	put("", "")
	n := harness.NewNode(t, harness.Config{Config: config.Config{
		Gofer: path, Stores: map[string]config.Store{"dir": {URL: "file://" + store}}, DefaultStore: "dir",
	}})
	spec := sleeper(t)
	s := n.RunService(t, spec)
	id := commit(t, s, "Full")
	n.Want(t, spec.Image)

	for _, c := range []struct{ name, in, out, words string }{
		{"a gofer that refuses", edit(job.Version + 1), "", fmt.Sprintf("in version %d of the wire, this gofer knows %d", job.Version+1, job.Version)},
		{"a gofer that knows no versions", "", fmt.Sprintf("s/^{%s,/{/", now), fmt.Sprintf("%s answers in version 0 of the wire, this shim knows %d", path, job.Version)},
		{"a newer gofer", "", edit(job.Version + 1), fmt.Sprintf("%s answers in version %d of the wire, this shim knows %d", path, job.Version+1, job.Version)},
	} {
		put(c.in, c.out)
		network := harness.NewNetwork(t)
		for name, args := range map[string][]string{
			"commit": {"tasks", "commit", "--scope", "Full", s.ID},
			"fetch":  append([]string{"run", "--detach", "--from", id, "--store", "dir", "--with-ns", "network:" + network.Path, spec.Image.Ref, "refused"}, spec.Args...),
		} {
			r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: args})
			if r.Code != 4 || !strings.Contains(r.Stderr, c.words) || !strings.Contains(r.Stderr, "install shim and gofer of one release") {
				t.Errorf("%s, %s: exit code %d: %s", c.name, name, r.Code, r.Stderr)
			}
		}
		s.WantState(t, client.Running)
		if left, err := filepath.Glob(filepath.Join(store, "snapshots", "*")); err != nil || len(left) != 1 {
			t.Errorf("%s: the store holds %q, %v", c.name, left, err)
		}
	}
	put("", "")
	s.WantSame(t, s.Last())
	commit(t, s, "Full")
	n.Wake(t, sleeper(t), id, "dir", true)
}
