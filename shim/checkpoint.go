// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/gofer"
)

// sidecarEnv is where runsc looks for its side-car binaries before it looks
// beside itself (runsc/gvisorbinaries of the pinned gVisor).
const sidecarEnv = "GVISOR_SIDECAR_BINARIES_DIR"

// What becomes of a draft that a sandbox is saved into.
type purpose bool

const (
	// durable: it is published; its parts are synced.
	durable purpose = false
	// scratch: it is uploaded from, and removed.
	scratch purpose = true
)

// save writes the frozen sandbox into the draft directory and returns the
// parts. The sandbox stays frozen.
func (s *sandbox) save(ctx context.Context, dir string, is purpose) ([]artifacts.Part, error) {
	servers := s.fileServers(ctx)
	defer servers.close()
	parts, err := s.saveMemory(ctx, dir, is)
	if err == nil {
		err = servers.check()
	}
	return parts, err
}

func (s *sandbox) saveMemory(ctx context.Context, dir string, is purpose) ([]artifacts.Part, error) {
	if s.checkpointIO(ctx) == config.Files {
		return s.saveFiles(ctx, dir)
	}
	seat, err := s.takeSeat(&job.Seat{Mode: job.Save, Dir: dir, Scratch: is == scratch, Cgroups: cgroup.Own()})
	if err != nil {
		log.G(ctx).WithError(err).Warn("save without the gofer")
		return s.saveFiles(ctx, dir)
	}
	defer seat.leave()
	if err := s.saveThrough(ctx, seat); err != nil {
		return nil, fmt.Errorf("save sandbox %s: %w", s.id, seat.explain(err))
	}
	return readParts(dir)
}

// saveThrough has the sandbox write itself to the side-car of a seat.
func (s *sandbox) saveThrough(ctx context.Context, seat *seat) error {
	sidecar, err := gofer.StartSave(ctx, seat.binary, s.runsc.Starter, s.runsc.Root, seat.dir)
	if err != nil {
		return err
	}
	err = s.control.Checkpoint(ctx, sidecar.Socket)
	sidecar.Close()
	if errors.Is(err, runsc.ErrUnsupported) {
		return s.runsc.With(sidecarEnv+"="+seat.sidecars).Checkpoint(ctx, s.id, runsc.CheckpointOpts{ImagePath: seat.dir})
	}
	return err
}

// saveFiles lets runsc write plain files and the gofer seal them.
func (s *sandbox) saveFiles(ctx context.Context, dir string) ([]artifacts.Part, error) {
	into := runsc.CheckpointOpts{ImagePath: local.ImageDir(dir)}
	if err := os.MkdirAll(into.ImagePath, 0o700); err != nil {
		return nil, fmt.Errorf("save sandbox %s: %w", s.id, err)
	}
	into.Direct = takesDirect(into.ImagePath)
	if err := s.runsc.Checkpoint(ctx, s.id, into); err != nil {
		return nil, fmt.Errorf("save sandbox %s: %w", s.id, err)
	}
	done, err := s.job(ctx, &job.Request{Verb: job.Seal, Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("seal the image of sandbox %s: %w", s.id, err)
	}
	return done.Parts, nil
}

// takesDirect says whether files in dir can be written around the page cache.
func takesDirect(dir string) bool {
	path := filepath.Join(dir, "direct")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_DIRECT, 0o600)
	if f != nil {
		f.Close()
	}
	// A file system that refuses has made the file all the same.
	if rerr := os.Remove(path); err == nil {
		err = rerr
	}
	return err == nil
}

// readParts takes what the gofer noted of each part when it was whole and
// synced, and compares it with the files.
func readParts(dir string) ([]artifacts.Part, error) {
	parts, err := job.TakeParts(dir, local.ImageParts()...)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		path, err := local.ImagePath(dir, p.Name)
		if err != nil {
			return nil, err
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Size() != p.Size {
			return nil, fmt.Errorf("check part %s: its file is not the %d bytes that were written (%v): %w", p.Name, p.Size, err, errdefs.ErrDataLoss)
		}
	}
	return parts, nil
}

// An image is where a container is restored from.
type image struct {
	manifest *artifacts.Manifest
	// dir is the directory of the local snapshot, in package local's layout.
	dir string
	// store has the pages, if dir has not.
	store job.Store
}

// restoreContainer starts a created container from the image.
func (s *sandbox) restoreContainer(ctx context.Context, c *container, i image) error {
	s.offerVersions(ctx, c, i.manifest)
	if !c.isRoot(s) {
		// The memory came with the root container; this one only joins.
		err := s.runsc.Restore(ctx, c.id, c.io(), runsc.RestoreOpts{ImagePath: local.ImageDir(i.dir), Background: true})
		return adviseOnLost(explain(s.seatStatus(job.Restore), err))
	}
	return s.restoreMemory(ctx, i, func(ctx context.Context, r *runsc.Runsc, opts runsc.RestoreOpts) error {
		return r.Restore(ctx, c.id, noIO, opts)
	})
}

// recreateRoot makes the root container anew, from the image, and returns the
// pid of the sandbox's process.
func (s *sandbox) recreateRoot(ctx context.Context, c *container, i image) (pid int, err error) {
	err = s.restoreMemory(ctx, i, func(ctx context.Context, r *runsc.Runsc, from runsc.RestoreOpts) error {
		pid, err = s.attach(ctx, c, func(opts runsc.CreateOpts) (int, error) {
			return r.CreateRestored(ctx, c.id, c.bundle, opts, from)
		})
		return err
	})
	return pid, err
}

// restoreMemory runs restore, which brings the root container and with it all
// memory, with the image's bytes within runsc's reach.
func (s *sandbox) restoreMemory(ctx context.Context, i image, restore func(context.Context, *runsc.Runsc, runsc.RestoreOpts) error) error {
	if s.checkpointIO(ctx) == config.Files {
		return s.restoreFiles(ctx, i, restore)
	}
	seat, err := s.takeSeat(&job.Seat{
		Mode: job.Restore, Dir: i.dir, Store: i.store, Cache: s.cache(ctx), Cgroups: cgroup.Own(),
		Control: s.seatControl(),
	})
	if err != nil {
		log.G(ctx).WithError(err).Warn("restore without the gofer")
		return s.restoreFiles(ctx, i, restore)
	}
	defer seat.leave()
	ctx, done := s.untilLost(ctx)
	defer done()
	err = restore(ctx, s.runsc.With(sidecarEnv+"="+seat.sidecars), runsc.RestoreOpts{ImagePath: seat.dir, Background: true})
	return adviseOnLost(seat.explain(err))
}

// cache returns the node's cache. Without it a restore is slower, no worse.
func (s *sandbox) cache(ctx context.Context) job.Cache {
	c, err := s.cfg.Cache()
	if err != nil {
		log.G(ctx).WithError(err).Warn("restore without the cache")
	}
	return c
}

// restoreFiles lets runsc read plain files, verified before.
func (s *sandbox) restoreFiles(ctx context.Context, i image, restore func(context.Context, *runsc.Runsc, runsc.RestoreOpts) error) error {
	if _, err := s.job(ctx, &job.Request{Verb: job.Verify, Dir: i.dir}); err != nil {
		return err
	}
	return restore(ctx, s.runsc, runsc.RestoreOpts{ImagePath: local.ImageDir(i.dir), Background: true})
}

// A seat is a directory that makes runsc start the gofer as its checkpoint
// side-car and tells that what to do.
type seat struct {
	dir    string
	status string
	binary string // of the side-car
	// sidecars is the directory where runsc is to look for it.
	sidecars string
}

// takeSeat prepares a seat; leave must be called when runsc has returned.
func (s *sandbox) takeSeat(config *job.Seat) (_ *seat, err error) {
	gofer, err := s.cfg.GoferPath()
	if err != nil {
		return nil, err
	}
	binary, err := findSidecar(gofer)
	if err != nil {
		return nil, err
	}
	sidecars, err := s.sidecars(binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.scratch, "seat-")
	if err != nil {
		return nil, fmt.Errorf("prepare checkpoint side-car: %w", err)
	}
	// The status outlives the seat: pages may arrive long after runsc has returned.
	t := &seat{dir: dir, status: s.seatStatus(config.Mode), binary: binary, sidecars: sidecars}
	// A side-car that was killed has left its socket, which no other can listen on.
	for _, left := range []string{t.status, config.Control} {
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("prepare checkpoint side-car: %w", err)
		}
	}
	config.Version, config.Status, config.Gofer = job.SeatVersion, t.status, filepath.Clean(gofer)
	b, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(filepath.Join(t.dir, job.SeatFile), b, 0o600)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("prepare checkpoint side-car: %w", err)
	}
	return t, nil
}

// leave removes the seat's directory; a gofer that still serves pages keeps
// what it has opened.
func (t *seat) leave() { os.RemoveAll(t.dir) }

// seatStatus is the file in which a gofer tells how far it is.
func (s *sandbox) seatStatus(m job.Mode) string {
	return filepath.Join(s.scratch, string(m)+"-status.json")
}

// explain adds to runsc's error what the gofer has noted.
func (t *seat) explain(err error) error { return explain(t.status, err) }

// explain adds to runsc's error what a gofer has noted in its status file.
func explain(status string, err error) error {
	if err == nil {
		return nil
	}
	noted := seatFailure(status)
	if noted == nil {
		return err
	}
	return errors.Join(&gofer.Error{Code: noted.Code, Message: noted.Error}, err)
}

// seatFailure returns what a gofer has noted of a failure, or nil if it has noted none.
func seatFailure(path string) *job.SeatStatus {
	if noted := readSeatStatus(path); noted != nil && noted.Error != "" {
		return noted
	}
	return nil
}

// readSeatStatus returns what a gofer has noted, or nil if it has noted nothing.
func readSeatStatus(path string) *job.SeatStatus {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var status job.SeatStatus
	if json.Unmarshal(b, &status) != nil {
		return nil
	}
	return &status
}

// loading tells how far the memory of the last restore has come, by what its
// gofer has noted; nil if there was none, or it has been paused since.
func (s *sandbox) loading() *ateomv1.Loading {
	status := readSeatStatus(s.seatStatus(job.Restore))
	if status == nil || s.currentLife() == nil {
		return nil
	}
	l := &ateomv1.Loading{
		Total: status.Total, Asked: status.Asked, Waited: status.Waited,
		Fetched: status.Fetched, Verified: status.Verified, Loaded: status.Moved, Ended: status.Ended, Error: status.Error,
		Nanos: status.Elapsed.Nanoseconds(),
	}
	if !l.Ended {
		l.Remaining = max(0, l.Total-l.Loaded)
	}
	return l
}

// findSidecar returns the side-car, under the name that runsc looks for, in
// gvisor-bin/ beside the gofer.
func findSidecar(gofer string) (string, error) {
	path := filepath.Join(filepath.Dir(gofer), "gvisor-bin", job.SeatBinary)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find checkpoint side-car: %w", err)
	}
	return path, nil
}

// job runs a one-request job of the gofer.
func (s *sandbox) job(ctx context.Context, r *job.Request) (*job.Event, error) {
	binary, err := s.cfg.GoferPath()
	if err != nil {
		return nil, err
	}
	return gofer.Run(ctx, binary, s.starter, r, s.noteProgress)
}
