// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/readiness"
)

// keepsUnready says whether the sandbox is to run on after err, which
// awaitReady returned.
func (s *sandbox) keepsUnready(err error) bool {
	var notReady *readiness.NotReadyError
	if !errors.As(err, &notReady) {
		return false
	}
	root, err := s.container(s.id)
	return err == nil && root.decl.onNotReady == readiness.Keep
}

// awaitReady waits until the readiness probes of all the containers pass. A
// process that ends meanwhile will never be ready.
func (s *sandbox) awaitReady(ctx context.Context, containers []*container) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range containers {
		if probes := s.probes(c); len(probes) > 0 {
			g.Go(func() error { return s.awaitContainer(ctx, c, probes) })
		}
	}
	return g.Wait()
}

func (s *sandbox) awaitContainer(ctx context.Context, c *container, probes []readiness.Probe) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		switch status, err := s.control.Wait(ctx, c.id); {
		case err == nil:
			cancel(fmt.Errorf("it ended with status %d before it was ready: %w", status, errdefs.ErrFailedPrecondition))
		case errors.Is(err, runsc.ErrSandboxGone):
			cancel(fmt.Errorf("it ended with its sandbox before it was ready: %w: %w", err, errdefs.ErrFailedPrecondition))
		}
	}()
	ports := s.control.Dialer(c.id)
	defer ports.Close()
	err := readiness.Wait(ctx, probes, &target{sandbox: s, container: c, ports: ports})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("container %s: %w%s", c.id, err, lastLines(s.logFile(c)))
	}
	return nil
}

// probes returns the readiness probes of one container. A pod's root container
// only holds its namespaces: what says nothing of a container is not about it.
func (s *sandbox) probes(c *container) []readiness.Probe {
	if s.cri && c.isRoot(s) {
		return nil
	}
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
	ports     *runsc.Dialer
}

// Dial connects to a port inside the sandbox's network stack.
func (t *target) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	return connection(t.ports.Dial(ctx, port))
}

// execEndLimit bounds the end of a command that has taken too long: a Kill may wait
// for it.
const execEndLimit = killLimit / 4

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
	status, err := p.Wait(ctx)
	if ctx.Err() != nil {
		end, cancel := runsc.Within(context.WithoutCancel(ctx), execEndLimit)
		defer cancel()
		err = errors.Join(err, t.sandbox.control.Signal(end, t.container.id, p.Pid, syscall.SIGKILL))
	}
	return status, err
}

// Bounds of what lastLines quotes.
const (
	logTailBytes = 4 << 10
	logTailLines = 5
)

// annotationLogDir is where kubelet keeps the logs of a pod; its root container
// tells it.
const annotationLogDir = "io.kubernetes.cri.sandbox-log-directory"

// logFile is the file that the container's output ends up in, or "" if nobody
// but its reader knows.
func (s *sandbox) logFile(c *container) string {
	if path, ok := strings.CutPrefix(c.init.stdio.Stdout, "file://"); ok {
		return path
	}
	root, err := s.container(s.id)
	if err != nil || !s.cri || root.spec.Annotations[annotationLogDir] == "" {
		return ""
	}
	// One file a run of the container, named by its number.
	dir := filepath.Join(root.spec.Annotations[annotationLogDir], c.name)
	newest := -1
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		number, isLog := strings.CutSuffix(e.Name(), ".log")
		if n, err := strconv.Atoi(number); isLog && err == nil {
			newest = max(newest, n)
		}
	}
	if newest < 0 {
		return ""
	}
	return filepath.Join(dir, strconv.Itoa(newest)+".log")
}

// lastLines returns the last lines of a log file, for an error message; "" if
// there are none to be read.
func lastLines(path string) string {
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
