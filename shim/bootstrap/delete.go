// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/log"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/record"
	"github.com/ateom/ateom/shim/volumes"
)

// deleteLimit is below the 5 s that containerd gives.
const deleteLimit = 4 * time.Second

// Stop cleans up after a shim that is no longer there: the sandbox, its
// mounts, its volatile files. Snapshots stay, and what the DurableDirs hold is
// set aside, since nobody can have meant to throw it away.
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
	driver := &runsc.Runsc{Binary: r.Runsc, Root: r.Root, Flags: r.Flags, Log: filepath.Join(bundle, "delete.log"), Starter: reap.Starter{}}
	if err := driver.Delete(ctx, id); err != nil {
		log.G(ctx).WithError(err).Warn("delete container of a dead shim")
	}
	if err := mount.UnmountRecursive(r.Rootfs, 0); err != nil {
		return status, fmt.Errorf("unmount %s: %w", r.Rootfs, err)
	}
	if r.Volumes != "" {
		if err := volumes.SetAside(r.StateDir, r.Volumes, r.Paused); err != nil {
			return status, err
		}
	}
	if r.Netns != "" {
		if err := network.Remove(r.Netns); err != nil {
			return status, err
		}
	}
	for _, dir := range []string{r.Scratch, r.Origin} {
		if dir == "" {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return status, fmt.Errorf("remove files of a dead shim: %w", err)
		}
	}
	return status, nil
}
