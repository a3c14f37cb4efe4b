// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/readiness"
)

// probes returns the container's own readiness probes.
func (c *container) probes() []readiness.Probe {
	var own []readiness.Probe
	for _, p := range c.decl.probes {
		if p.Container == "" || p.Container == c.name {
			own = append(own, p)
		}
	}
	return own
}

// A target lets probes reach a container. It implements readiness.Target.
type target struct {
	sandbox   *sandbox
	container *container
}

// Dial connects to a port inside the sandbox's network stack.
func (t *target) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	f, err := t.sandbox.control.Dial(ctx, t.container.id, port)
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn holds a copy
	return net.FileConn(f)
}

// Exec runs a command in the container, as its user, without streams.
func (t *target) Exec(ctx context.Context, command []string) (int, error) {
	spec := specs.Process{
		Args: command, Cwd: t.container.spec.Process.Cwd, Env: t.container.spec.Process.Env,
		User: t.container.spec.Process.User, Capabilities: t.container.spec.Process.Capabilities,
		NoNewPrivileges: t.container.spec.Process.NoNewPrivileges,
	}
	dir, err := os.MkdirTemp(t.sandbox.scratch, "probe-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	p, err := t.sandbox.runsc.Exec(ctx, t.container.id, dir, &spec, runsc.IO{})
	if err != nil {
		return 0, err
	}
	type end struct {
		status int
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		status, err := p.Wait()
		ended <- end{status, err}
	}()
	select {
	case e := <-ended:
		return e.status, e.err
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), t.sandbox.control.Signal(context.WithoutCancel(ctx), t.container.id, p.Pid, 9))
	}
}

// Bounds of what lastLines quotes.
const (
	logTailBytes = 4 << 10
	logTailLines = 5
)

// lastLines returns the last lines of the container's output, for an error
// message, where it goes to a file that can be read again.
func (c *container) lastLines() string {
	path, ok := strings.CutPrefix(c.init.stdio.Stdout, "file://")
	if !ok {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(fi.Size(), logTailBytes))
	if _, err := f.ReadAt(buf, fi.Size()-int64(len(buf))); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(buf)), "\n")
	if len(lines) > logTailLines {
		lines = lines[len(lines)-logTailLines:]
	}
	return fmt.Sprintf("; the container's last output: %q", strings.Join(lines, " | "))
}
