// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Lines of every version so far are understood, and what is written now is what the
// golden file of the present one says: an agent reads what shims of two releases wrote.
func TestEntriesAreAsTheGoldenFilesSay(t *testing.T) {
	want := &Entry{
		Verb: "Commit", Namespace: "ns", Sandbox: "box", Start: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC),
		Phases: []Phase{{"freeze", 100}, {"upload", 23}, {"failed", 4}}, Cause: "unavailable", Error: "no bucket", Scope: "Full",
		Snapshot: "01m7yhhf3jmd1e0p1g61tc6wxq", Store: "main", Bytes: 9, Sent: 7, TraceParent: "00-aa-bb-01",
	}
	for v := 1; v <= version; v++ {
		path := filepath.Join("testdata", fmt.Sprintf("entry-v%d.json", v))
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("version %d has no golden line: %v", v, err)
		}
		run := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(Path(run)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(Path(run), golden, 0o600); err != nil {
			t.Fatal(err)
		}
		if v == version { // the same line behind it
			if err := Append(run, want); err != nil {
				t.Fatal(err)
			}
			lines, err := os.ReadFile(Path(run))
			if diff := cmp.Diff(string(golden)+string(golden), string(lines)); err != nil || diff != "" {
				t.Errorf("%s (-golden +written), %v:\n%s", path, err, diff)
			}
		}
		r := NewReader(run, Position{})
		var got []*Entry
		err = r.Read(func(e *Entry) { got = append(got, e) }, func(err error) { t.Error(err) })
		r.Close()
		if err != nil || len(got) == 0 {
			t.Fatalf("%s: %d entries, %v", path, len(got), err)
		}
		want.Version = v
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}
