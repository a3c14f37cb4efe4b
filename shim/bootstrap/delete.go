// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
	"github.com/ateom/ateom/shim/inside"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/record"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/volumes"
)

// deleteLimit is below the 5 s that containerd gives.
const deleteLimit = 4 * time.Second

// Stop cleans up after a shim that is no longer there: the sandbox, its
// mounts, its volatile files. Snapshots stay, and what the DurableDirs hold is
// set aside, since nobody can have meant to throw it away. To a containerd that was
// restarted, a shim that does not answer in time is dead as well: it is ended first.
func (a actions) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	status := shim.StopStatus{ExitedAt: time.Now(), ExitStatus: 128 + int(syscall.SIGKILL)}

	cwd, err := os.Getwd()
	if err != nil {
		return status, err
	}
	bundle := filepath.Join(filepath.Dir(cwd), id)
	r, err := record.Read(bundle)
	if err != nil || r == nil {
		// Without a record the shim had touched nothing.
		return status, err
	}
	if r.Scratch != "" { // the record of the sandbox's first container
		place, err := roster.End(ctx, r.Scratch)
		if err != nil {
			return status, err
		}
		if place != nil {
			defer place.Leave()
		}
	}
	driver := &runsc.Runsc{Binary: r.Runsc, Root: r.Root, Flags: r.Flags, Log: filepath.Join(bundle, "delete.log"), Starter: reap.Starter{}}
	if r.Scratch != "" {
		// On a busy machine runsc may not come to that in the time that there is, and of a
		// sandbox in the making it does not know.
		if err := driver.KillOrphans(ctx); err != nil {
			log.G(ctx).WithError(err).Warn("kill the sandbox of a dead shim")
		}
	}
	if err := driver.Delete(ctx, id); err != nil {
		log.G(ctx).WithError(err).Warn("delete container of a dead shim")
	}
	// One thing that cannot be done is no reason to leave the others.
	return status, errors.Join(unmount(r), setAside(r), leaveNetwork(r), removeFiles(r), removeSocket(r), cgroup.Remove(ctx, r.Cgroup))
}

// removeSocket removes the dead shim's socket. Another shim may have taken its
// place meanwhile: what answers stays.
func removeSocket(r *record.Record) error {
	if r.Socket == "" || shim.CanConnect(r.Socket) {
		return nil
	}
	if err := shim.RemoveSocket(r.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
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
	return volumes.SetAside(r.StateDir, r.Volumes)
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
