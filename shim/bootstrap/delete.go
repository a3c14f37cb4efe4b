// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
	"github.com/ateom/ateom/shim/dirlock"
	"github.com/ateom/ateom/shim/inside"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/record"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/volumes"
)

// What the delete action waits for, and how long: containerd kills it after 5 s, in which
// it must have been started as well, on a machine that may be busy. A killed action leaves
// the bundle, and containerd 1.7 comes back to that when it is restarted, and not before.
const (
	// deleteLimit bounds all waits together: for another action, for the shim's end
	// (a second), and for those below.
	deleteLimit = 3 * time.Second
	// orphansLimit bounds the wait for the ends of processes that were killed.
	orphansLimit = time.Second
	// runscLimit bounds a runsc that has nothing to do but to forget, since all else is
	// done without it.
	runscLimit = time.Second
	// graceLimit is how long the steps that wait for nothing may go on after that: to the file
	// systems and the kernel, which no context bounds.
	graceLimit = 500 * time.Millisecond
)

// Stop cleans up after a shim that is no longer there: the sandbox, its
// mounts, its volatile files. Snapshots stay, and what the DurableDirs hold is
// set aside, since nobody can have meant to throw it away. To a containerd that was
// restarted, a shim that does not answer in time is dead as well: it is ended first.
func (a actions) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	status := shim.StopStatus{ExitedAt: time.Now(), ExitStatus: 128 + int(syscall.SIGKILL)}

	cwd, err := os.Getwd()
	if errors.Is(err, fs.ErrNotExist) {
		return status, nil // as below
	}
	if err != nil {
		return status, err
	}
	bundle := filepath.Join(filepath.Dir(cwd), id)
	return status, inTime(ctx, graceLimit, bundle, func() error { return cleanUpOnce(ctx, bundle, id) })
}

// inTime is do, or an error where do does not end with ctx. The process that is left with it
// is about to exit.
func inTime(ctx context.Context, grace time.Duration, bundle string, do func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(grace):
		return fmt.Errorf("clean up after the shim of %s: a file system or the kernel does not answer in time; containerd tries again when it is restarted", bundle)
	}
}

// cleanUpOnce cleans up by the bundle's record, and removes that when nothing is left to do.
// A containerd that gives up a shim runs two actions at once, one because the shim does
// not answer and one because its connection was closed: the second waits for the first, and
// finds no record. It must not start runsc any more, which would make the bundle anew for
// its log.
func cleanUpOnce(ctx context.Context, bundle, id string) error {
	unlock, err := lockBundle(ctx, bundle)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // whoever was first has done all, and containerd has removed it
	}
	if err != nil {
		return err
	}
	defer unlock()
	r, err := record.Read(bundle)
	if err != nil {
		return err
	}
	if r == nil {
		// The shim had touched nothing: all that there may be is the socket that the start
		// action has made for it.
		address, err := os.ReadFile(filepath.Join(bundle, addressFile))
		if err != nil {
			return nil
		}
		return removeSocket(string(address))
	}
	if err := cleanUp(ctx, bundle, id, r); err != nil {
		return err
	}
	return record.Remove(bundle)
}

// look is between two looks at a bundle that another action has.
const look = 10 * time.Millisecond

// lockBundle makes this action the only one of the bundle until unlock, or its process's end.
func lockBundle(ctx context.Context, bundle string) (unlock func(), err error) {
	for {
		dir, err := dirlock.Lock(bundle, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { dir.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("clean up after a shim: %w", err)
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return nil, fmt.Errorf("clean up after the shim of %s: another delete action is at it and does not end", bundle)
		}
	}
}

func cleanUp(ctx context.Context, bundle, id string, r *record.Record) error {
	if r.Scratch != "" { // the record of the sandbox's first container
		place, err := roster.End(ctx, r.Scratch)
		if err != nil {
			return err
		}
		if place != nil {
			defer place.Leave()
		}
	}
	driver := &runsc.Runsc{Binary: r.Runsc, Root: r.Root, Flags: r.Flags, Log: filepath.Join(bundle, "delete.log"), Starter: reap.Starter{}}
	if r.Scratch != "" {
		// On a busy machine runsc may not come to that in the time that there is, and of a
		// sandbox in the making it does not know.
		ctx, cancel := context.WithTimeout(ctx, orphansLimit)
		if err := driver.KillOrphans(ctx); err != nil {
			log.G(ctx).WithError(err).Warn("kill the sandbox of a dead shim")
		}
		cancel()
	}
	runscCtx, cancel := context.WithTimeout(ctx, runscLimit)
	defer cancel()
	if err := driver.Delete(runscCtx, id); err != nil {
		log.G(ctx).WithError(err).Warn("delete container of a dead shim")
	}
	// One thing that cannot be done is no reason to leave the others.
	return errors.Join(unmount(r), setAside(r), leaveNetwork(r), removeFiles(r), removeSocket(r.Socket), cgroup.Remove(ctx, r.Cgroup))
}

// removeSocket removes the dead shim's socket. Another shim may have taken its
// place meanwhile, or be about to: what answers stays.
func removeSocket(address string) error {
	if address == "" {
		return nil
	}
	unlock, err := lockDir(filepath.Dir(strings.TrimPrefix(address, "unix://")))
	if err != nil {
		return fmt.Errorf("remove the dead shim's socket: %w", err)
	}
	defer unlock()
	if shim.CanConnect(address) {
		return nil
	}
	if err := shim.RemoveSocket(address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the dead shim's socket: %w", err)
	}
	return nil
}

func unmount(r *record.Record) error {
	if r.Rootfs == "" {
		return nil
	}
	if err := mount.UnmountRecursive(r.Rootfs, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", r.Rootfs, err)
	}
	return nil
}

func setAside(r *record.Record) error {
	if r.Volumes == "" {
		return nil
	}
	if r.Paused != "" {
		if err := volumes.NotePaused(r.Volumes, r.Paused); err != nil {
			return err
		}
	}
	err := volumes.SetAside(r.StateDir, r.Volumes)
	if errors.Is(err, volumes.ErrInUse) {
		// The dead shim's hold has ended with it: they are those of a sandbox with the same
		// name and another run directory, and the dead one could not be made.
		return nil
	}
	return err
}

// leaveNetwork removes the sandbox's own network namespace, and gives one of
// somebody else's back what gVisor took from it.
func leaveNetwork(r *record.Record) error {
	if r.Network != nil {
		if _, err := os.Stat(r.NetworkPath); err != nil {
			return nil // it is gone
		}
		return r.Network.Apply(r.NetworkPath)
	}
	if r.Netns == "" {
		return nil
	}
	return network.Remove(r.Netns)
}

func removeFiles(r *record.Record) error {
	var errs []error
	dirs := []string{r.Scratch, r.Origin}
	if r.Scratch != "" {
		errs = append(errs, inside.Unmount(r.Scratch))
		// runsc's directory is the sandbox's own, and has a
		// network namespace mounted in it.
		if err := mount.UnmountRecursive(r.Root, 0); err != nil {
			errs = append(errs, fmt.Errorf("unmount below %s: %w", r.Root, err))
		} else {
			dirs = append(dirs, r.Root)
		}
		dirs = append(dirs, rundir.SeatOf(r.Root)) // what a gofer that was killed has left
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if err := local.RemoveTree(dir); err != nil {
			errs = append(errs, fmt.Errorf("remove files of a dead shim: %w", err))
		}
	}
	return errors.Join(errs...)
}
