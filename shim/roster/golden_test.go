// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/shim/rundir"
)

// Entries of every version so far are understood, and what is written now is what the
// golden file of the present one says: an agent and shims of two releases meet here.
func TestEntriesAreAsTheGoldenFilesSay(t *testing.T) {
	want := Entry{
		Namespace: "ns", Sandbox: "box", State: "paused", Since: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC), PID: 42,
		Snapshot: "01m7yhhf3jmd1e0p1g61tc6wxq",
	}
	for v := 1; v <= version; v++ {
		path := filepath.Join("testdata", fmt.Sprintf("state-v%d.json", v))
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("version %d has no golden entry: %v", v, err)
		}
		run := t.TempDir()
		dir := rundir.Sandbox(run, "ns", "box")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fileName), golden, 0o600); err != nil {
			t.Fatal(err)
		}
		want.Version = v
		got, err := List(run)
		if diff := cmp.Diff([]Entry{want}, got); err != nil || diff != "" {
			t.Errorf("%s (-want +got), %v:\n%s", path, err, diff)
		}
		if v < version {
			continue
		}
		place, err := Take(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := place.Put(want); err != nil {
			t.Fatal(err)
		}
		if err := place.Leave(); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(filepath.Join(dir, fileName))
		if diff := cmp.Diff(string(golden), string(written)+"\n"); err != nil || diff != "" {
			t.Errorf("%s (-golden +written), %v:\n%s", path, err, diff)
		}
	}
}
