// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/e2e/bench/lab"
)

func TestVolumesHaveTheirSizeAndNeverTheSameContentTwice(t *testing.T) {
	digests := map[string]bool{}
	for seed := range 3 {
		dir := t.TempDir()
		w := newWriter(seed)
		if err := w.tree(dir, 250, 10<<10); err != nil {
			t.Fatal(err)
		}
		if err := w.file(filepath.Join(dir, "big"), 1<<20+1); err != nil {
			t.Fatal(err)
		}
		subs, err := filepath.Glob(filepath.Join(dir, "dir-*", "file-*"))
		if err != nil || len(subs) != 250 {
			t.Errorf("%d files, %v, want 250", len(subs), err)
		}
		for path, want := range map[string]int64{subs[0]: 10 << 10, filepath.Join(dir, "big"): 1<<20 + 1} {
			if fi, err := os.Stat(path); err != nil || fi.Size() != want {
				t.Errorf("%s: %v, want %d bytes", path, err, want)
			}
		}
		sum, err := lab.TreeDigest(dir)
		if err != nil {
			t.Fatal(err)
		}
		if digests[sum] {
			t.Errorf("seed %d gave content that another gave", seed)
		}
		digests[sum] = true
	}
}

func TestSparseFilesHaveHoles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sparse")
	for seed := range 2 { // the second replaces the first
		if err := newWriter(seed).sparse(path, 1<<30, 4<<20); err != nil {
			t.Fatal(err)
		}
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Size() != 1<<30 {
		t.Errorf("size: %v, want 1 GiB", err)
	}
	if err := lab.Settle(dir); err != nil {
		t.Fatal(err)
	}
	if used, err := lab.DiskUsage(dir); err != nil || used < 4<<20 || used > 5<<20 {
		t.Errorf("%d bytes on disk, %v, want 4 MiB and little more", used, err)
	}
}
