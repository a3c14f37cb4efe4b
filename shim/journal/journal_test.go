// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// entry returns an entry that can be told from others by its sandbox.
func entry(sandbox string) *Entry {
	return &Entry{
		Verb: "Pause", Namespace: "ns", Sandbox: sandbox, Start: time.Unix(7, 5).UTC(),
		Phases: []Phase{{"freeze", 100}, {"save", 23}}, Bytes: 9,
	}
}

// A follower collects what a Reader gives.
type follower struct {
	*Reader
	got []string
	bad []error
}

func follow(t *testing.T, runDir string, from Position) *follower {
	t.Helper()
	f := &follower{Reader: NewReader(runDir, from)}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// want reads and compares the sandboxes of all entries so far.
func (f *follower) want(t *testing.T, sandboxes ...string) {
	t.Helper()
	err := f.Read(func(e *Entry) { f.got = append(f.got, e.Sandbox) }, func(err error) { f.bad = append(f.bad, err) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sandboxes, f.got); diff != "" {
		t.Fatalf("entries (-want +got):\n%s", diff)
	}
}

func put(t *testing.T, runDir string, limit int64, sandboxes ...string) {
	t.Helper()
	for _, s := range sandboxes {
		if err := appendTo(Path(runDir), entry(s), limit); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	run := t.TempDir()
	want := entry("a")
	want.Cause, want.Error, want.TraceParent, want.Sent = "unavailable", "no \"bucket\"\nhere", "00-x", 7
	if err := Append(run, want); err != nil {
		t.Fatal(err)
	}
	want.Version = version
	r := NewReader(run, Position{})
	defer r.Close()
	var got []*Entry
	if err := r.Read(func(e *Entry) { got = append(got, e) }, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*Entry{want}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if took := got[0].Took(); took != 123 {
		t.Errorf("Took = %d, want the sum of the phases", took)
	}
}

func TestReaderGoesOnWhereItWas(t *testing.T) {
	run := t.TempDir()
	f := follow(t, run, Position{})
	f.want(t) // no journal yet
	put(t, run, maxBytes, "a", "b")
	f.want(t, "a", "b")
	put(t, run, maxBytes, "c")
	again := follow(t, run, f.Position())
	again.want(t, "c")
	f.want(t, "a", "b", "c")
	f.want(t, "a", "b", "c")
}

func TestReaderFollowsRenames(t *testing.T) {
	run := t.TempDir()
	f := follow(t, run, Position{})
	put(t, run, maxBytes, "a")
	f.want(t, "a")
	late, err := openToAppend(Path(run))
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	put(t, run, 1, "b") // full: renamed before b is written
	f.want(t, "a", "b")
	line, err := entry("late").encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Write(line); err != nil { // by a shim that had it open
		t.Fatal(err)
	}
	f.want(t, "a", "b", "late")
	put(t, run, 1, "c", "d") // renamed twice between two looks
	f.want(t, "a", "b", "late", "c", "d")

	// One that comes later finds what is left, and one that was there goes on.
	follow(t, run, Position{}).want(t, "c", "d")
	put(t, run, 1, "e")
	follow(t, run, f.Position()).want(t, "e")
	f.want(t, "a", "b", "late", "c", "d", "e")
	if n := len(f.bad); n > 0 {
		t.Errorf("bad lines: %v", f.bad)
	}
}

func TestReaderSurvivesTruncationAndRemoval(t *testing.T) {
	run := t.TempDir()
	f := follow(t, run, Position{})
	put(t, run, maxBytes, "a", "b")
	f.want(t, "a", "b")
	if err := os.Truncate(Path(run), 0); err != nil {
		t.Fatal(err)
	}
	put(t, run, maxBytes, "c")
	f.want(t, "a", "b", "c")
	if err := os.Remove(Path(run)); err != nil {
		t.Fatal(err)
	}
	f.want(t, "a", "b", "c")
	put(t, run, maxBytes, "d")
	f.want(t, "a", "b", "c", "d")
}

// What is no entry is told, and hides none.
func TestReaderTellsBadLines(t *testing.T) {
	run := t.TempDir()
	f := follow(t, run, Position{})
	put(t, run, maxBytes, "a")
	w, err := openToAppend(Path(run))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fmt.Fprintf(w, "{\n\n{\"v\":99}\n%s\n", strings.Repeat("x", 3*maxLine))
	put(t, run, maxBytes, "b")
	fmt.Fprint(w, `{"v":1,"sandbox":"c"`) // half a line
	f.want(t, "a", "b")
	if n := len(f.bad); n < 4 {
		t.Errorf("told %d bad lines: %v", n, f.bad)
	}
	bad := len(f.bad)
	fmt.Fprintln(w, "}")
	f.want(t, "a", "b", "c")
	if len(f.bad) != bad {
		t.Errorf("a line that came in two halves is bad: %v", f.bad[bad:])
	}
}

// Many write at the same time, the file is renamed again and again, and every
// line that is still there is whole. The reader keeps up and sees all: nobody
// still writes to a file that was renamed twice, because a round of lines is
// less than a file, and all have ended theirs before the next.
func TestManyWriters(t *testing.T) {
	run := t.TempDir()
	const writers, rounds, lines, limit = 8, 20, 10, 40 << 10
	f := follow(t, run, Position{})
	seen := map[string]int{}
	read := func() {
		if err := f.Read(func(e *Entry) { seen[e.Sandbox]++ }, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range lines {
					if err := appendTo(Path(run), entry(fmt.Sprint(w, " ", round, " ", i)), limit); err != nil {
						t.Error(err)
					}
				}
			})
		}
		read() // while they write
		wg.Wait()
		read()
	}
	if len(seen) != writers*rounds*lines {
		t.Errorf("%d entries were seen, want %d", len(seen), writers*rounds*lines)
	}
	for s, n := range seen {
		if n != 1 {
			t.Errorf("entry %s was seen %d times", s, n)
		}
	}
	files, err := os.ReadDir(filepath.Dir(Path(run)))
	if err != nil || len(files) != 2 {
		t.Errorf("the journal is %v, %v, want two files", files, err)
	}
	for _, file := range files {
		if fi, err := file.Info(); err != nil || fi.Size() > 2*limit {
			t.Errorf("%s has %d bytes, %v: the limit is %d", file.Name(), fi.Size(), err, limit)
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	run := t.TempDir()
	long := entry("a")
	long.Error = strings.Repeat("é", maxError)
	if err := Append(run, long); err != nil {
		t.Fatal(err)
	}
	r := NewReader(run, Position{})
	defer r.Close()
	err := r.Read(func(e *Entry) {
		if len(e.Error) > maxError+len("…") || !utf8.ValidString(e.Error) || !strings.HasSuffix(e.Error, "é…") {
			t.Errorf("a long error became %d bytes, %q", len(e.Error), e.Error[len(e.Error)-9:])
		}
	}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	long.Snapshot = strings.Repeat("x", maxLine)
	if err := Append(run, long); err == nil {
		t.Error("an entry longer than a line was written")
	}
}
