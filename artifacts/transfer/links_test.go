// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// A file with names in two volumes is one file again when both are fetched.
func TestFetchJoinsHardLinksAcrossVolumes(t *testing.T) {
	s := openStore(t, "mem://")
	from := newNode(t)
	parent := t.TempDir()
	volumes := func(name string) []job.Volume {
		var list []job.Volume
		for _, v := range []string{"home", "work"} {
			dir := filepath.Join(parent, name, v)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			list = append(list, job.Volume{Name: v, Path: dir})
		}
		return list
	}
	from.volumes = volumes("from")
	here, there := filepath.Join(from.volumes[0].Path, "a"), filepath.Join(from.volumes[1].Path, "b")
	if err := os.WriteFile(here, []byte("one file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(here, there); err != nil {
		t.Fatal(err)
	}
	m, _ := from.commit(s, artifacts.Data, epoch, nil, "")

	to := newNode(t)
	to.volumes = volumes("to")
	if _, _, err := to.fetch(s, m.ID, false); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(filepath.Join(to.volumes[0].Path, "a"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.Stat(filepath.Join(to.volumes[1].Path, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, second) {
		t.Error("the two names lead to two files")
	}
}
