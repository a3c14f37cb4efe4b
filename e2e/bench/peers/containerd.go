// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// namespace of containerd that the bench's containers are in.
const namespace = "bench"

// daemonConfig is all that a containerd without images and networks needs.
var daemonConfig = template.Must(template.New("").Parse(`version = 3
root = "{{.}}/root"
state = "{{.}}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
  "io.containerd.podsandbox.controller.v1.podsandbox"]
[grpc]
  address = "{{.}}/c.sock"
[ttrpc]
  address = "{{.}}/c.sock.ttrpc"
[debug]
  level = "warn"
`))

// A daemon is a containerd of the bench's own.
type daemon struct {
	*containerd.Client
	dir     string
	address string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// startDaemon starts binary inside the account, with everything it writes
// below dir, and waits until it serves. env is added to its environment, which
// the shims that it starts inherit.
func startDaemon(ctx context.Context, binary, dir string, a *lab.Account, env []string) (*daemon, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var config bytes.Buffer
	if err := daemonConfig.Execute(&config, dir); err != nil {
		return nil, err
	}
	configPath := filepath.Join(dir, "containerd.toml")
	if err := os.WriteFile(configPath, config.Bytes(), 0o600); err != nil {
		return nil, err
	}
	logs, err := os.Create(filepath.Join(dir, "containerd.log"))
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	d := &daemon{dir: dir, address: filepath.Join(dir, "c.sock"), ended: make(chan struct{})}
	d.cmd = exec.Command(binary, "--config", configPath)
	d.cmd.Env = append(os.Environ(), env...)
	d.cmd.Stdout, d.cmd.Stderr = logs, logs
	if err := a.Start(d.cmd); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	go func() {
		defer close(d.ended)
		// How it ended shows in its log.
		_ = d.cmd.Wait()
	}()
	if err := d.dial(ctx); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// dial connects as soon as the daemon serves.
func (d *daemon) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := containerd.New(d.address, containerd.WithDefaultNamespace(namespace), containerd.WithTimeout(time.Second))
		if err == nil {
			if _, err = c.Version(ctx); err == nil {
				d.Client = c
				return nil
			}
			c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect to containerd: %w: %s", err, d.lastLines())
		case <-d.ended:
			return fmt.Errorf("connect to containerd: it ended: %s", d.lastLines())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the daemon. Its shims live on.
func (d *daemon) stop() error {
	if d.Client != nil {
		d.Client.Close()
	}
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		return nil // it has ended
	}
	select {
	case <-d.ended:
	case <-time.After(10 * time.Second):
		if err := d.cmd.Process.Kill(); err != nil {
			return err
		}
		<-d.ended
	}
	return nil
}

// lastLines returns the end of the daemon's log.
func (d *daemon) lastLines() []byte {
	b, err := os.ReadFile(filepath.Join(d.dir, "containerd.log"))
	if err != nil {
		return nil
	}
	const tail = 2000
	return bytes.TrimSpace(b[max(0, len(b)-tail):])
}

// inNamespace returns ctx for calls of the daemon.
func inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, namespace)
}
