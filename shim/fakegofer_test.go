// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
)

// decodeSeat returns the draft or snapshot that a seat is about.
func decodeSeat(r io.Reader) (string, error) {
	var seat job.Seat
	err := json.NewDecoder(r).Decode(&seat)
	return seat.Dir, err
}

// A fakeSidecar is the side-car of a save. Its process is one that can be
// killed; what a sandbox writes through it ends with it.
type fakeSidecar struct {
	dir  string // the draft
	died chan struct{}

	mu     sync.Mutex // held while something is written
	isDead bool
}

var errSidecarDied = errors.New("the side-car has died")

// takeSeat starts a side-car.
func (f *fakeRuntime) takeSeat(cmd *exec.Cmd) (func() (int, error), error) {
	dir, err := decodeSeat(cmd.ExtraFiles[1])
	if err != nil {
		return nil, err
	}
	sidecar := &fakeSidecar{dir: dir, died: make(chan struct{})}
	if err := startLasting(cmd); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.sidecar = sidecar
	f.mu.Unlock()
	f.gofers.Go(func() {
		_ = cmd.Wait()
		sidecar.mu.Lock()
		defer sidecar.mu.Unlock()
		sidecar.isDead = true
		close(sidecar.died)
	})
	return func() (int, error) { <-sidecar.died; return killedStatus, nil }, nil
}

// bring fills volumes as the gofer does: one that is not empty is refused, unless
// it is marked.
func (f *fakeRuntime) bring(volumes []job.Volume) error {
	for _, v := range volumes {
		path := filepath.Join(v.Path, "content")
		_, err := os.Stat(path)
		if err == nil && !durabledir.Marked(v.Path) {
			return fmt.Errorf("%s is not empty", v.Path)
		}
		if err := errors.Join(os.WriteFile(path, []byte("of the snapshot"), 0o600), durabledir.Unmark(v.Path)); err != nil {
			return err
		}
	}
	return nil
}

// startGofer serves a job.
func (f *fakeRuntime) startGofer(cmd *exec.Cmd) (func() (int, error), error) {
	in, err := dup(cmd.Stdin.(*os.File))
	if err != nil {
		return nil, err
	}
	out, err := dup(cmd.Stdout.(*os.File))
	if err != nil {
		in.Close()
		return nil, err
	}
	// The shim kills a process.
	process := &exec.Cmd{}
	if err := startLasting(process); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	cmd.Process = process.Process
	dead := make(chan struct{})
	f.gofers.Go(func() {
		defer close(dead)
		_ = process.Wait()
		out.Close()
	})
	f.gofers.Go(func() {
		defer in.Close()
		f.serveCommit(json.NewDecoder(in), json.NewEncoder(out), dead)
	})
	return func() (int, error) { <-dead; return killedStatus, nil }, nil
}

func dup(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (f *fakeRuntime) serveCommit(in *json.Decoder, out *json.Encoder, dead <-chan struct{}) {
	var dir, url string
	var fetched *artifacts.Manifest
	var volumes []job.Volume
	for {
		var r job.Request
		if in.Decode(&r) != nil {
			return
		}
		gate, fails := f.begin("gofer " + string(r.Verb))
		if gate != nil {
			f.reached <- "gofer " + string(r.Verb)
			select {
			case <-gate:
			case <-dead:
				return
			}
		}
		event := job.Event{}
		switch r.Verb {
		case job.Commit:
			event.Kind, dir, url = job.Ready, r.Dir, r.Store.URL
		case job.Fetch:
			fetched, volumes = &artifacts.Manifest{ID: r.ID, Scope: artifacts.Data}, r.Volumes
			event = job.Event{Kind: job.Ready, Manifest: fetched}
		case job.Bring:
			if out.Encode(job.Event{Version: job.Version, Kind: job.Progress, Phase: "fetch", Bytes: 1}) != nil {
				return
			}
			event = job.Event{Kind: job.Done, Manifest: fetched}
			if fails {
				break // its volumes are empty again
			}
			if err := f.bring(volumes); err != nil {
				event = job.Event{Kind: job.Failed, Code: "failed precondition", Error: err.Error()}
			}
		case job.Capture:
			event.Kind = job.Captured
			if r.Dir != "" {
				dir = r.Dir // the image of a paused sandbox
			}
		case job.Upload:
			event = job.Event{Kind: job.Done, Manifest: r.Manifest}
			m, err := saved(dir)
			if err != nil {
				f.violated("upload: %v", err)
				return
			}
			f.mu.Lock()
			f.store[r.Manifest.ID], f.uploadedTo = m, url
			f.mu.Unlock()
		}
		if fails {
			event = job.Event{Kind: job.Failed, Code: "unavailable", Error: "the store does not answer"}
		}
		event.Version = job.Version
		if out.Encode(event) != nil {
			return
		}
	}
}
