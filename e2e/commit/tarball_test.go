// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// Whoever has the bucket and no ateom gets the data all the same.
func TestDataSnapshotsAreTarballsThatAnyToolReads(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	n.Want(t, images.Busybox)
	task := start(t, n, "--annotation", `ateom.dev/on-commit=Data`)
	mark := next(t, task).data
	id := commit(t, task)

	root := strings.TrimPrefix(n.Config.Stores["dir"].URL, "file://")
	snapshot := filepath.Join(root, "snapshots", id)
	want := []string{"durable/data.tar.zst", "manifest.json"}
	if diff := cmp.Diff(want, filesBelow(t, snapshot)); diff != "" {
		t.Errorf("a Data snapshot is (-want +got):\n%s", diff)
	}
	if packs := filesBelow(t, filepath.Join(root, "packs")); len(packs) > 0 {
		t.Errorf("a Data snapshot sent packs: %q", packs)
	}

	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "tar", "--zstd", "-C", dir, "-xf", filepath.Join(snapshot, want[0])).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	if diff := cmp.Diff([]string{"mark"}, filesBelow(t, dir)); diff != "" {
		t.Errorf("the tarball has (-want +got):\n%s", diff)
	}
	b, err := os.ReadFile(filepath.Join(dir, "mark"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(b)); got != mark {
		t.Errorf("the tarball's mark is %s, want %s", got, mark)
	}
}

// filesBelow lists the plain files below dir, which need not exist, in order.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		found = append(found, rel)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
