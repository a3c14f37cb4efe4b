// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package gofer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/runsc"
)

// misfit is the exit code of `ateom-gofer check` that says that the two do not
// speak the same protocol.
const misfit = 3

// Check has the gofer prove that it and the given runsc speak the same protocol, in a
// directory of its own below dir, which a gofer that is killed leaves behind. The
// error is ErrFailedPrecondition if they do not, and any other if that could
// not be found out.
func Check(ctx context.Context, binary string, starter runsc.Starter, runscBinary, dir string) error {
	stderr, err := os.CreateTemp("", "ateom-check-")
	if err != nil {
		return fmt.Errorf("check gofer: %w", err)
	}
	defer stderr.Close()
	os.Remove(stderr.Name())
	cmd := exec.CommandContext(ctx, binary, "check", "--trust-versions", "--runsc", runscBinary)
	cmd.Stderr = stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	wait, err := starter.Start(cmd)
	if err != nil {
		return fmt.Errorf("check gofer %s: %w", binary, err)
	}
	status, err := wait()
	if err != nil || status == 0 {
		return err
	}
	tail := make([]byte, maxStderr)
	n, _ := stderr.ReadAt(tail, 0)
	text := strings.TrimSpace(string(tail[:n]))
	if status == misfit {
		return fmt.Errorf("%s: %w", text, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("check gofer %s: exit status %d: %s: %w", binary, status, text, errdefs.ErrUnknown)
}
