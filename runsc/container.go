// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CreateOpts are the options of Create.
type CreateOpts struct {
	// IO are the streams of a sandbox's root container. Those of any other
	// container go with Start or Restore.
	IO IO
	// ConsoleSocket is the path of a unix socket that receives the master of
	// the container's terminal.
	ConsoleSocket string
}

// pidFileName is the file of a bundle in which Create leaves the id of the
// sandbox's process.
const pidFileName = "init.pid"

// Create creates a container from the bundle and returns the pid of the
// process that stands for it on the host.
func (r *Runsc) Create(ctx context.Context, id, bundle string, opts CreateOpts) (pid int, err error) {
	return r.create(ctx, id, bundle, opts, command{args: []string{"create"}, io: opts.IO})
}

// create runs a command that creates a container, completed by what says how.
func (r *Runsc) create(ctx context.Context, id, bundle string, opts CreateOpts, c command) (pid int, err error) {
	pidFile := filepath.Join(bundle, pidFileName)
	if err := os.Remove(pidFile); err != nil && !os.IsNotExist(err) {
		return 0, fmt.Errorf("remove old pid file: %w", err)
	}
	c.args = append(c.args, "--bundle", bundle, "--pid-file", pidFile)
	if opts.ConsoleSocket != "" {
		c.args = append(c.args, "--console-socket", opts.ConsoleSocket)
	}
	c.args = append(c.args, id)
	if _, err := r.run(ctx, c); err != nil {
		return 0, err
	}
	return readPid(pidFile)
}

// Start starts a created container.
func (r *Runsc) Start(ctx context.Context, id string, io IO) error {
	_, err := r.run(ctx, command{args: []string{"start", id}, io: io})
	return err
}

// RestoreOpts are the options of Restore.
type RestoreOpts struct {
	// ImagePath is the checkpoint directory.
	ImagePath string
	// Background lets the container run before all of its memory is loaded.
	Background bool
	// Direct reads pages around the page cache. It pays for an image that is
	// not in it, and only for that.
	Direct bool
}

// Restore starts a created container from a checkpoint.
func (r *Runsc) Restore(ctx context.Context, id string, io IO, opts RestoreOpts) error {
	_, err := r.run(ctx, command{args: append(opts.args(), id), io: io, limit: longLimit})
	return err
}

// CreateRestored creates a container from the bundle and starts it from a
// checkpoint: Create and Restore with one process instead of two.
func (r *Runsc) CreateRestored(ctx context.Context, id, bundle string, opts CreateOpts, from RestoreOpts) (pid int, err error) {
	return r.create(ctx, id, bundle, opts, command{args: from.args(), io: opts.IO, limit: longLimit})
}

// args of a restore, but for the container's id.
func (o RestoreOpts) args() []string {
	args := []string{"restore", "--detach", "--image-path", o.ImagePath}
	if o.Background {
		args = append(args, "--background")
	}
	if o.Direct {
		args = append(args, "--direct")
	}
	return args
}

// CheckpointOpts are the options of Checkpoint.
type CheckpointOpts struct {
	// ImagePath is the checkpoint directory.
	ImagePath string
	// Direct writes pages around the page cache, which not every file system can.
	// The sandbox writes them itself, so that else they are charged to it twice.
	Direct bool
}

// Checkpoint saves the sandbox of container id and leaves it as
// it was, running or frozen. Pages are not compressed.
//
// Callers must look at the files before they trust them: runsc does not fsync
// and has been seen to succeed on a full disk.
func (r *Runsc) Checkpoint(ctx context.Context, id string, opts CheckpointOpts) error {
	args := []string{"checkpoint", "--leave-running", "--compression=none", "--image-path", opts.ImagePath}
	if opts.Direct {
		args = append(args, "--direct")
	}
	_, err := r.run(ctx, command{args: append(args, id), limit: longLimit})
	return err
}

// Pause freezes the whole sandbox of container id.
func (r *Runsc) Pause(ctx context.Context, id string) error {
	_, err := r.run(ctx, command{args: []string{"pause", id}})
	return err
}

// Resume thaws what Pause froze.
func (r *Runsc) Resume(ctx context.Context, id string) error {
	_, err := r.run(ctx, command{args: []string{"resume", id}})
	return err
}

// Kill sends a signal to the container's first process, or to all of its processes.
func (r *Runsc) Kill(ctx context.Context, id string, signal int, all bool) error {
	args := []string{"kill"}
	if all {
		args = append(args, "--all")
	}
	_, err := r.run(ctx, command{args: append(args, id, strconv.Itoa(signal))})
	return err
}

// Delete removes the container, killing it first. Deleting a sandbox's root
// container ends the sandbox. A container that does not exist is no error, by
// the meaning of --force.
func (r *Runsc) Delete(ctx context.Context, id string) error {
	_, err := r.run(ctx, command{args: []string{"delete", "--force", id}})
	return err
}

// State returns the container's state.
func (r *Runsc) State(ctx context.Context, id string) (specs.State, error) {
	var s specs.State
	out, err := r.run(ctx, command{args: []string{"state", id}, output: true})
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fmt.Errorf("decode runsc state: %w", err)
	}
	return s, nil
}

// Update changes the container's resource limits.
func (r *Runsc) Update(ctx context.Context, id string, resources *specs.LinuxResources) error {
	in, err := tempFile()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := json.NewEncoder(in).Encode(resources); err != nil {
		return fmt.Errorf("encode resources: %w", err)
	}
	if _, err := in.Seek(0, 0); err != nil {
		return err
	}
	_, err = r.run(ctx, command{args: []string{"update", "--resources=-", id}, stdin: in})
	return err
}

// readPid reads a decimal process id.
func readPid(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read pid file %s: %w", path, err)
	}
	return pid, nil
}

// Wait waits, without a bound but ctx, for the container's first process to
// end. It costs a process; Control.Wait does not.
func (r *Runsc) Wait(ctx context.Context, id string) (status int, err error) {
	out, err := r.run(ctx, command{args: []string{"wait", id}, output: true, limit: unbounded})
	if err != nil {
		return 0, err
	}
	var result struct {
		ExitStatus int `json:"exitStatus"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return 0, fmt.Errorf("decode runsc wait: %w", err)
	}
	return result.ExitStatus, nil
}
