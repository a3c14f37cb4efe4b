// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseDir(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "/run/ateom": true, "/x": true, "/procs": true,
		"/": false, "run": false, "/run/": false, "/a/../b": false, "/proc": false, "/proc/x": false, "/sys/x": false, "/dev/x": false, "/a\x00b": false,
		"/" + strings.Repeat("x", 5000): false,
	} {
		got, err := ParseDir(text)
		if (err == nil) != ok || err != nil && !errdefs.IsInvalidArgument(err) || ok && got != text {
			t.Errorf("ParseDir(%.40q) = %.40q, %v, want it accepted %v", text, got, err, ok)
		}
	}
}

func TestParseSelf(t *testing.T) {
	for text, want := range map[string]map[Verb]bool{
		"": nil, " ": nil, "Commit": {Commit: true}, "Pause, Commit": {Commit: true, Pause: true},
	} {
		got, err := ParseSelf(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseSelf(%q): %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"commit", "Commit,", "Resume", "Commit;Pause", "*"} {
		if got, err := ParseSelf(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("ParseSelf(%q) = %v, %v", text, got, err)
		}
	}
}

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]*Request{
		"1 Commit\n":              {ID: "1", Verb: Commit},
		"a.b:c-d_9 Commit Data\n": {ID: "a.b:c-d_9", Verb: Commit, Scope: "Data"},
		"x Commit Full\n":         {ID: "x", Verb: Commit, Scope: "Full"},
		"x Pause\n":               {ID: "x", Verb: Pause},
		"":                        nil, "x": nil, "x Pau": nil, "x Pause": nil, // it may go on
	} {
		got, err := ParseRequest(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseRequest(%q): %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{
		"\n", "x\n", "Pause\n", "x pause\n", "x Pause Full\n", "x Commit None\n", "x Commit\ny Commit\n", " x Commit\n", "x  Commit\n",
		strings.Repeat("x", 65) + " Commit\n", strings.Repeat("x", maxRequest+1), "ü Commit\n", "x Commit Full Data\n", "../x Commit\n",
	} {
		if got, err := ParseRequest(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("ParseRequest(%.40q) = %v, %v", text, got, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add("x Commit Full\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRequest(text)
		if r != nil && (err != nil || len(r.ID) > 64 || strings.ContainsAny(r.ID, " \n/") || r.Verb != Commit && r.Verb != Pause) {
			t.Errorf("ParseRequest(%q) = %+v, %v", text, r, err)
		}
	})
}

// newDir makes a Dir and returns the sandbox's directory.
func newDir(t *testing.T, requests bool) (*Dir, string) {
	t.Helper()
	dir := t.TempDir()
	d, err := New(dir, requests)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, dir
}

func (d *Dir) line(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.info, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEachBeginningHasItsGeneration(t *testing.T) {
	d, _ := newDir(t, false)
	seen := map[string]bool{}
	for i := range 3 {
		if err := d.Begin(Origin{Snapshot: "s", Copies: i}); err != nil {
			t.Fatal(err)
		}
		seen[d.line(t, generation)] = true
		if got := d.line(t, snapshot) + d.line(t, copies); got != fmt.Sprintf("s\n%d\n", i) {
			t.Errorf("snapshot and copies %q", got)
		}
	}
	if len(seen) != 3 {
		t.Errorf("generations %v", seen)
	}
}

func TestAnAnswerIsOneBoundedLine(t *testing.T) {
	d, _ := newDir(t, false)
	if err := d.Answer("x failed a\nb\r" + strings.Repeat("c", 2*maxAnswer)); err != nil {
		t.Fatal(err)
	}
	got := d.line(t, answer)
	if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "x failed a b c") || len(got) > maxAnswer+1 {
		t.Errorf("answer of %d bytes: %.40q", len(got), got)
	}
}

func TestMounts(t *testing.T) {
	for _, requests := range []bool{false, true} {
		d, _ := newDir(t, requests)
		mounts, err := d.Mounts("/run/ateom", []specs.Mount{{Destination: "/run"}, {Destination: "/run/ateom2"}})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, m := range mounts {
			got[m.Destination] = m.Options[1]
		}
		want := map[string]string{"/run/ateom": "ro"}
		if requests {
			want["/run/ateom/request"] = "rw"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("mounts (-want +got):\n%s", diff)
		}
		for _, own := range []string{"/run/ateom", "/run/ateom/x", "/run/ateom/"} {
			if _, err := d.Mounts("/run/ateom", []specs.Mount{{Destination: own}}); !errdefs.IsInvalidArgument(err) {
				t.Errorf("Mounts over %s = %v", own, err)
			}
		}
	}
}

// What a crash has left does not stop a sandbox of the same name.
func TestNewTakesOverWhatIsLeft(t *testing.T) {
	first, dir := newDir(t, true)
	if err := first.Begin(Origin{}); err != nil {
		t.Fatal(err)
	}
	second, err := New(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(second.info, generation)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old generation is still there: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil { // twice is no error
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("something is still mounted: %v", err)
	}
}

func TestWatchHandsOverEachRequestOnce(t *testing.T) {
	d, _ := newDir(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	type asked struct {
		r   *Request
		err error
	}
	requests, ended := make(chan asked), make(chan error, 1)
	go func() {
		ended <- d.Watch(ctx, func(r *Request, err error) { requests <- asked{r, err} })
	}()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.requestPath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Until the watch has begun nobody sees what is written: the first one is
	// repeated.
	var first asked
	for id := 0; first.r == nil; id++ {
		write(fmt.Sprintf("first%d Pause\n", id))
		select {
		case first = <-requests:
		default:
		}
	}
	write("second Commit\n")
	for got := range requests {
		if got.err != nil {
			t.Fatal(got.err)
		}
		if got.r.ID == "second" {
			break // a later first may have come between
		}
	}
	write("second Commit\n")
	write("nonsense\n")
	if got := <-requests; !errdefs.IsInvalidArgument(got.err) {
		t.Errorf("handed over %+v, want an error for the nonsense", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "copies")
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			if _, err := Count(path, "many"); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	for _, step := range []struct {
		snapshot string
		want     int
	}{{"many", 21}, {"one", 1}, {"one", 2}, {"many", 22}} {
		if got, err := Count(path, step.snapshot); err != nil || got != step.want {
			t.Errorf("Count(%s) = %d, %v, want %d", step.snapshot, got, err, step.want)
		}
	}
	// What was not used for the longest time is forgotten.
	var lines strings.Builder
	for i := range maxCounted {
		fmt.Fprintf(&lines, "s%d 7\n", i)
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		snapshot string
		want     int
	}{{"new", 1}, {"s1", 8}, {"s0", 1}} {
		if got, err := Count(path, step.snapshot); err != nil || got != step.want {
			t.Errorf("Count(%s) = %d, %v, want %d", step.snapshot, got, err, step.want)
		}
	}
}
