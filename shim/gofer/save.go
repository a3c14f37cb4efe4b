// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package gofer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
)

// A Save is a checkpoint side-car that waits for a sandbox to be saved.
type Save struct {
	// Socket is what the sandbox is to write to.
	Socket *os.File
	cancel context.CancelFunc
	wait   func() (int, error)
}

// StartSave starts the side-car in the given file as
// runsc would that keeps its state in root, for the seat that is written in
// dir. It is killed when ctx ends; Close must be called.
func StartSave(ctx context.Context, binary string, starter runsc.Starter, root, dir string) (_ *Save, err error) {
	config, err := os.Open(filepath.Join(dir, job.SeatFile))
	if err != nil {
		return nil, fmt.Errorf("start checkpoint side-car: %w", err)
	}
	defer config.Close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start checkpoint side-car: create socket pair: %w", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "sandbox"), os.NewFile(uintptr(fds[1]), "side-car")
	defer far.Close()

	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, binary)
	cmd.Args = []string{"runsc-" + job.SeatBinary, "--root=" + root, job.SeatBinary, "-sock-fd=3", "-gcs-opts-fd=4", "-allow-checkpoint-writes"}
	cmd.ExtraFiles = []*os.File{far, config}
	// GOMAXPROCS is the shim's own economy.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	wait, err := starter.Start(cmd)
	if err != nil {
		cancel()
		near.Close()
		return nil, fmt.Errorf("start checkpoint side-car %s: %w", binary, err)
	}
	return &Save{Socket: near, cancel: cancel, wait: wait}, nil
}

// Close ends the side-car, whether it is done or not, and waits for its end.
func (s *Save) Close() {
	s.Socket.Close()
	s.cancel()
	_, _ = s.wait() // what it has done shows in the draft
}
