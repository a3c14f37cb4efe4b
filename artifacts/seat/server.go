// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// Main runs the gofer as runsc started it, with the arguments and the
// descriptors that argv names, until runsc closes its side. Where open is nil
// and pages have to come from a store, the gofer that the seat names takes over.
func Main(ctx context.Context, argv []string, open Opener) error {
	if isCharger(argv) {
		return serveClaims(chargeFD)
	}
	a, err := parseArgs(argv)
	if err != nil {
		return err
	}
	logTo(a.debugLog)
	config := os.NewFile(uintptr(a.config), job.SeatFile)
	cfg, err := readConfig(config)
	if err == nil && cfg.Store.URL != "" && open == nil {
		err = become(cfg.Gofer, argv) // it reads config anew
	}
	config.Close()
	if cfg == nil {
		return err
	}
	st := newStatus(cfg.Status, cfg.Mode)
	defer st.end()
	if err == nil {
		err = serve(ctx, a, cfg, open, st)
	}
	if err != nil {
		st.fail(err)
	}
	return err
}

// logTo sends what gVisor's packages log to runsc's debug log, or nowhere.
func logTo(fd int) {
	if fd < 0 {
		log.SetTarget(&log.Writer{Next: io.Discard})
		return
	}
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: os.NewFile(uintptr(fd), "debug log")}})
}

// serve answers runsc on the socket of a until runsc closes it or ctx is done.
func serve(ctx context.Context, a args, cfg *job.Seat, open Opener, st *status) error {
	if cfg.Mode != a.allow {
		return fmt.Errorf("take the seat: runsc wants to %s, the shim said %s: %w", a.allow, cfg.Mode, errdefs.ErrFailedPrecondition)
	}
	c := leaveCgroups(cfg, st)
	defer func() {
		if err := c.close(); err != nil {
			st.warn("memory is not charged to the sandbox: %v", err)
		}
	}()
	if err := unix.SetNonblock(a.sock, false); err != nil {
		return fmt.Errorf("take the seat: socket: %w", err)
	}
	sock, err := unet.NewSocket(a.sock)
	if err != nil {
		return fmt.Errorf("take the seat: socket: %w", err)
	}
	impl, err := openFiles(ctx, cfg, open, c, st)
	if err != nil {
		sock.Close()
		return err
	}
	return serveFiles(ctx, sock, impl)
}

// serveFiles lets the peer on sock use impl until it hangs up or ctx is done.
// It owns both.
func serveFiles(ctx context.Context, sock *unet.Socket, impl *files) error {
	files, err := stateipc.NewAsyncFileServer(impl)
	if err != nil {
		sock.Close()
		impl.Destroy()
		return fmt.Errorf("take the seat: %w", err)
	}
	server := urpc.NewServer()
	server.Register(files)
	stop := context.AfterFunc(ctx, func() { sock.Shutdown() })
	defer stop()
	err = server.Handle(sock)
	// Stop waits for the files that are open; impl.Destroy follows.
	server.Stop(0)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("serve runsc: %w", ctx.Err())
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("serve runsc: %w", err)
	}
	return nil
}

// files is the set of files that the peer may open. It implements
// stateipc.AsyncFileServerImpl.
type files struct {
	seat   *job.Seat
	status *status
	draft  *draft
	image  *snapshot
	pacer  *pacer
	// control is nil if the shim wants none.
	control *control
	hints   *hints
	charger *charger
	ctx     context.Context
	cancel  context.CancelFunc

	mu     sync.Mutex
	opened map[string]bool
}

// openFiles prepares the directory of the seat.
func openFiles(ctx context.Context, seat *job.Seat, open Opener, c *charger, st *status) (*files, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &files{seat: seat, status: st, charger: c, ctx: ctx, cancel: cancel, opened: make(map[string]bool)}
	var err error
	if seat.Mode == job.Save {
		f.draft, err = openDraft(seat.Dir, seat.Scratch)
	} else {
		f.image, err = openSnapshot(ctx, seat, open, st)
		f.pacer = newPacer(seat.Pace)
		f.hints = newHints(f.image)
		st.pace(seat.Pace)
	}
	if err == nil && seat.Control != "" {
		f.control, err = listenControl(seat.Control, f.setPace, st)
	}
	if err != nil {
		f.Destroy()
		return nil, err
	}
	return f, nil
}

// setPace changes the pace of a restore. The first time that it leaves
// PaceReady the program is ready, and what it has needed until then is its
// working set.
func (f *files) setPace(p job.Pace) error {
	if f.pacer == nil {
		return fmt.Errorf("set pace: a save has none: %w", errdefs.ErrFailedPrecondition)
	}
	switch p {
	case job.PaceReady:
	case job.PaceFull, job.PaceLazy, job.PaceUrgent:
		f.hints.ready()
	default:
		return fmt.Errorf("set pace: %q: %w", p, errdefs.ErrInvalidArgument)
	}
	f.pacer.set(p)
	f.status.pace(p)
	return nil
}

// Destroy implements stateipc.AsyncFileServerImpl.
func (f *files) Destroy() {
	f.cancel()
	if f.hints != nil {
		f.hints.close()
	}
	if f.control != nil {
		f.control.close()
	}
	if f.draft != nil {
		f.draft.close()
	}
	if f.image != nil {
		f.image.close()
	}
}

// OpenWrite implements stateipc.AsyncFileServerImpl.
func (f *files) OpenWrite(name string) (stateio.AsyncWriter, error) {
	part, err := f.admit(name, job.Save)
	if err != nil {
		return nil, f.refused(err)
	}
	image, err := f.draft.create(name)
	if err != nil {
		return nil, f.refused(err)
	}
	return newWriter(part, image, f.draft, f.status), nil
}

// OpenRead implements stateipc.AsyncFileServerImpl.
func (f *files) OpenRead(name string) (stateio.AsyncReader, error) {
	part, err := f.admit(name, job.Restore)
	if err != nil {
		return nil, f.refused(err)
	}
	src, err := f.image.open(f.ctx, name, part)
	if err != nil {
		return nil, f.refused(err)
	}
	if part == artifacts.PartPages {
		return newReader(f.ctx, part, src, f.pacer, f.hints, f.charger, f.status), nil
	}
	return newReader(f.ctx, part, src, f.pacer, nil, nil, f.status), nil
}

// admit returns the part of file name, which may be opened once and only in
// the direction of the seat.
func (f *files) admit(name string, mode job.Mode) (string, error) {
	part, err := partOf(name)
	if err != nil {
		return "", err
	}
	if mode != f.seat.Mode {
		return "", fmt.Errorf("open %s to %s: this seat is there to %s: %w", name, mode, f.seat.Mode, errdefs.ErrPermissionDenied)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened[part] {
		return "", fmt.Errorf("open %s: opened before: %w", name, errdefs.ErrFailedPrecondition)
	}
	f.opened[part] = true
	return part, nil
}

func (f *files) refused(err error) error {
	f.status.fail(err)
	return err
}
