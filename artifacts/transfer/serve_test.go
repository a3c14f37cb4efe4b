// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// A gofer is Serve with pipes for its standard input and output.
type gofer struct {
	t   *testing.T
	in  *io.PipeWriter
	req *json.Encoder
	out *json.Decoder
	err chan error
}

func startGofer(t *testing.T) *gofer {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	g := &gofer{t: t, in: inW, req: json.NewEncoder(inW), out: json.NewDecoder(outR), err: make(chan error, 1)}
	go func() {
		g.err <- Serve(t.Context(), inR, outW)
		outW.Close()
	}()
	t.Cleanup(func() { inW.Close() })
	return g
}

func (g *gofer) send(r *job.Request) {
	g.t.Helper()
	r.Version = job.Version
	if err := g.req.Encode(r); err != nil {
		g.t.Fatal(err)
	}
}

// await returns the next event that is not progress.
func (g *gofer) await(want job.Kind) *job.Event {
	g.t.Helper()
	for {
		e := new(job.Event)
		if err := g.out.Decode(e); err != nil {
			g.t.Fatalf("wait for %q: %v", want, err)
		}
		if e.Version != job.Version {
			g.t.Fatalf("event %+v has no version", e)
		}
		if e.Kind == job.Progress {
			continue
		}
		if e.Kind != want {
			g.t.Fatalf("event %+v, want %q", e, want)
		}
		return e
	}
}

// end wants no further event and Serve's error.
func (g *gofer) end() error {
	g.t.Helper()
	if err := g.out.Decode(new(job.Event)); !errors.Is(err, io.EOF) {
		g.t.Errorf("after the last event: %v, want the end", err)
	}
	return <-g.err
}

func TestServeCommitsAndFetches(t *testing.T) {
	store := job.Store{Name: "team", URL: fileURL(t.TempDir()), Env: map[string]string{"ATEOM_SERVE_TEST": "set"}}
	t.Setenv("ATEOM_SERVE_TEST", "")
	here, there := newNode(t), newNode(t)
	here.write(0, "a", "one")
	image := testImage(1, 200)

	// A paused sandbox has its image in a published snapshot.
	paused := here.draft(artifacts.NewID(epoch), image)
	g := startGofer(t)
	g.send(&job.Request{Verb: job.Seal, Dir: paused.Dir()})
	sealed := g.await(job.Done).Parts
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
	m := manifest(paused.ID(), artifacts.Full)
	m.Parts = sealed
	snap, err := paused.Publish(m)
	if err != nil {
		t.Fatal(err)
	}

	id := artifacts.NewID(epoch.Add(time.Second))
	draft := here.draft(id, nil)
	g = startGofer(t)
	g.send(&job.Request{Verb: job.Commit, Dir: draft.Dir(), Store: store, ID: id, Scope: artifacts.Full, Volumes: here.volumes})
	g.await(job.Ready)
	if os.Getenv("ATEOM_SERVE_TEST") != "set" {
		t.Error("the store's environment is not set")
	}
	g.send(&job.Request{Verb: job.Capture, Dir: snap.Dir})
	captured := g.await(job.Captured)
	here.write(0, "a", "changed after the capture")
	m = manifest(id, artifacts.Full)
	m.Parts = append(snap.Manifest.Parts, captured.Parts...)
	g.send(&job.Request{Verb: job.Upload, Manifest: m})
	done := g.await(job.Done)
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
	if done.Sent == 0 || done.Manifest.ID != id || len(done.Manifest.Parts) != 5 {
		t.Errorf("done: %+v", done)
	}

	dir := t.TempDir()
	ask := &job.Request{Verb: job.Fetch, Dir: dir, Store: store, ID: id, Volumes: there.volumes, Ask: true}
	g = startGofer(t)
	g.send(ask)
	if shown := g.await(job.Ready); !cmp.Equal(done.Manifest, shown.Manifest) {
		t.Errorf("the manifest that is asked about is %+v", shown.Manifest)
	}
	g.in.Close() // no, thank you
	g.await(job.Failed)
	if err := g.end(); !errors.Is(err, errdefs.ErrAborted) {
		t.Errorf("a Fetch that was not wanted ended with %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 || len(there.tree()) > 0 {
		t.Errorf("a Fetch that was not wanted has brought %v and %v, %v", entries, there.tree(), err)
	}
	g = startGofer(t)
	g.send(ask)
	g.await(job.Ready)
	g.send(&job.Request{Verb: job.Bring})
	fetched := g.await(job.Done)
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(done.Manifest, fetched.Manifest); diff != "" {
		t.Errorf("the manifest (-committed +fetched):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"home/a": "one"}, there.tree()); diff != "" {
		t.Errorf("the volumes (-want +got):\n%s", diff)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
		t.Error("the fetched image is another one")
	}
	g = startGofer(t)
	g.send(&job.Request{Verb: job.Verify, Dir: dir})
	g.await(job.Done)
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
}

func TestServeFailsWithACode(t *testing.T) {
	empty := job.Store{URL: fileURL(t.TempDir())}
	id := artifacts.NewID(epoch)
	n := newNode(t)
	draft := n.draft(id, nil)
	for _, c := range []struct {
		name    string
		request *job.Request
		code    string
		says    string
	}{
		{"unknown verb", &job.Request{Verb: "dance"}, "invalid_argument", "dance"},
		{"capture first", &job.Request{Verb: job.Capture}, "invalid_argument", "out of order"},
		{"unknown snapshot", &job.Request{Verb: job.Fetch, Store: empty, ID: id}, "not_found", string(id)},
		{"bad id", &job.Request{Verb: job.Fetch, Store: empty, ID: "../x"}, "invalid_argument", "snapshot id"},
		{"bad URL", &job.Request{Verb: job.Fetch, Store: job.Store{URL: "ftp://x"}, ID: id}, "invalid_argument", "ftp"},
		{"bad scope", &job.Request{Verb: job.Commit, Store: empty, ID: id, Dir: draft.Dir(), Scope: "Half"}, "invalid_argument", "Half"},
		{"nothing to verify", &job.Request{Verb: job.Verify, Dir: draft.Dir()}, "data_loss", "manifest.json"},
		{"nothing to seal", &job.Request{Verb: job.Seal, Dir: draft.Dir()}, "not_found", "checkpoint.img"},
		{"nobody listens", &job.Request{Verb: job.Fetch, Store: job.Store{URL: "s3://b?region=x&endpoint=http://127.0.0.1:1&anonymous=true&rate_limiter_capacity=nonsense"}, ID: id}, "invalid_argument", "capacity"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startGofer(t)
			g.send(c.request)
			e := g.await(job.Failed)
			if e.Code != c.code || !strings.Contains(e.Error, c.says) {
				t.Errorf("code %q, error %q; want %q and %q", e.Code, e.Error, c.code, c.says)
			}
			if err := g.end(); err == nil {
				t.Error("serve returned no error")
			}
		})
	}
}

// A request of another release is understood as nothing, and nothing is done.
func TestServeRefusesOtherVersions(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []int{0, job.Version + 1} {
		g := startGofer(t)
		if err := g.req.Encode(&job.Request{Version: version, Verb: job.Fetch, Dir: dir, Store: job.Store{URL: "ftp://not-opened"}}); err != nil {
			t.Fatal(err)
		}
		if e := g.await(job.Failed); e.Code != "failed_precondition" || !strings.Contains(e.Error, fmt.Sprintf("in version %d of the wire", version)) {
			t.Errorf("version %d: code %q, error %q", version, e.Code, e.Error)
		}
		if err := g.end(); err == nil {
			t.Error("serve returned no error")
		}
	}
}

func TestClosedInputAbandonsTheCommit(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t)
	n.write(0, "a", "one")
	id := artifacts.NewID(epoch)
	g := startGofer(t)
	g.send(&job.Request{Verb: job.Commit, Dir: n.draft(id, nil).Dir(), Store: job.Store{URL: fileURL(dir)}, ID: id, Scope: artifacts.Data, Volumes: n.volumes})
	g.await(job.Ready)
	g.send(&job.Request{Verb: job.Capture})
	g.await(job.Captured)
	g.in.Close()
	e := g.await(job.Failed)
	if e.Code != "aborted" {
		t.Errorf("code %q, want aborted: %s", e.Code, e.Error)
	}
	if err := g.end(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("serve: %v", err)
	}
	if left := keys(t, openStore(t, fileURL(dir)), ""); len(left) > 0 {
		t.Errorf("in the store: %q", left)
	}
}

func TestFetchRefusesAVolumeThatIsNotEmpty(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	here.write(0, "a", "one")
	m, _ := here.commit(s, artifacts.Data, epoch, nil, "")
	there.write(1, "precious", "mine")
	_, _, err := there.fetch(s, m.ID, false)
	if err == nil || !strings.Contains(err.Error(), "precious") {
		t.Errorf("fetch: %v, want a refusal", err)
	}
	if diff := cmp.Diff(map[string]string{"work/precious": "mine"}, there.tree()); diff != "" {
		t.Errorf("the volumes (-want +got):\n%s", diff)
	}
}

func TestVerifyLocalFindsEveryChange(t *testing.T) {
	n := newNode(t)
	d := n.draft(artifacts.NewID(epoch), testImage(1, 100))
	parts, err := Seal(t.Context(), d.Dir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest(d.ID(), artifacts.Full)
	m.Parts = parts
	snap, err := d.Publish(m)
	if err != nil {
		t.Fatal(err)
	}
	files := []string{local.ManifestPath(snap.Dir)}
	for _, part := range local.ImageParts() {
		path, _ := local.ImagePath(snap.Dir, part)
		files = append(files, path, local.RecipePath(snap.Dir, part))
	}
	for _, file := range files {
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, dm := range damages[:6] {
			if err := os.WriteFile(file, dm.apply(bytes.Clone(good), nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyLocal(t.Context(), snap.Dir, nil); err == nil || codeOf(err) != "data_loss" {
				t.Errorf("%s with %s: %v, want data loss", file, dm.name, err)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyLocal(t.Context(), snap.Dir, nil); err == nil || codeOf(err) != "data_loss" {
			t.Errorf("without %s: %v, want data loss", file, err)
		}
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := VerifyLocal(t.Context(), snap.Dir, nil); err != nil {
		t.Errorf("repaired: %v", err)
	}
}
