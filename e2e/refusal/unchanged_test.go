// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// everything is what a node and its store have on disk, by path, without what
// containerd and runsc write as they like: locks and the bundles of tasks.
func everything(t *testing.T, n *harness.Node) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range []string{n.Config.StateDir, filepath.Join(n.Config.RunDir, "sandboxes"), storeDir(n)} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() || d.Name() == "state.json.new" { // on its way to be the roster's state.json
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			found[path] = fmt.Sprint(info.Mode(), info.Size())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// storeDir is the directory of the node's store.
func storeDir(n *harness.Node) string {
	return strings.TrimPrefix(n.Config.Stores["dir"].URL, "file://")
}

// wantUnchanged waits until the node is as before: what was refused may still
// be clearing up.
func wantUnchanged(t *testing.T, n *harness.Node, before map[string]string) {
	t.Helper()
	harness.Eventually(t, func() error {
		if diff := cmp.Diff(before, everything(t, n)); diff != "" {
			return fmt.Errorf("what was refused has changed something (-before +after):\n%s", diff)
		}
		return nil
	})
}
