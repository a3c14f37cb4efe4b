// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// A node is a containerd with a configuration of ateom, directories and state
// of its own.
type node struct {
	name, dir  string
	programs   programs
	daemon     *exec.Cmd
	containers []string
}

// programs are the directories that `make build tools` fills.
type programs struct {
	// bin has ateom's own binaries and runsc, tools containerd.
	bin, tools string
}

const daemonConfig = `version = 3
root = "%[1]s/root"
state = "%[1]s/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.nri.v1.nri",
]
[grpc]
address = "%[1]s/c.sock"
[ttrpc]
address = "%[1]s/c.sock.ttrpc"
`

const nodeConfig = `state-dir = "%[1]s/lib"
run-dir = "%[1]s/run"
default-store = "bucket"
[stores.bucket]
url = "file://%[2]s"
`

// bootTimeout bounds the start of a containerd.
const bootTimeout = 30 * time.Second

// shutDownTimeout bounds the removal of a container.
const shutDownTimeout = 30 * time.Second

// boot starts a node below dir that uses the store in the directory bucket.
func boot(ctx context.Context, name, dir, bucket string, p programs) (*node, error) {
	n := &node{name: name, dir: filepath.Join(dir, name), programs: p}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, err
	}
	for file, text := range map[string]string{
		"containerd.toml": fmt.Sprintf(daemonConfig, n.dir),
		"ateom.toml":      fmt.Sprintf(nodeConfig, n.dir, bucket),
	} {
		if err := os.WriteFile(filepath.Join(n.dir, file), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(filepath.Join(n.dir, "containerd.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.daemon = exec.Command(filepath.Join(p.tools, "containerd"), "--config", filepath.Join(n.dir, "containerd.toml"))
	n.daemon.Env = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"))
	n.daemon.Stdout, n.daemon.Stderr = log, log
	// A Ctrl-C is for the demonstration, which then takes the node down in order.
	n.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.daemon.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	if err := n.await(ctx); err != nil {
		return nil, errors.Join(err, n.shutDown())
	}
	return n, nil
}

// await returns when containerd answers.
func (n *node) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		cl, err := client.New(filepath.Join(n.dir, "c.sock"), client.WithTimeout(time.Second))
		if err == nil {
			_, err = cl.Version(ctx)
			cl.Close()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for containerd (its log is in %s): %w", n.dir, err)
		case <-tick.C:
		}
	}
}

// ctr runs ctr-ateom on the node and decodes its JSON answer into v, if v is not nil.
func (n *node) ctr(ctx context.Context, v any, args ...string) error {
	args = append([]string{"--address", filepath.Join(n.dir, "c.sock"), "--ateom-config", filepath.Join(n.dir, "ateom.toml")}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(n.programs.bin, "ctr-ateom"), args...)
	cmd.Env = append(os.Environ(), "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=true")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ctr-ateom %s: %w: %s", strings.Join(args[4:], " "), err, strings.TrimSpace(stderr.String()))
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(stdout.Bytes(), v); err != nil {
		return fmt.Errorf("ctr-ateom %s: decode the answer: %w", strings.Join(args[4:], " "), err)
	}
	return nil
}

// run starts a container of the agent in w. The flags are added to those that
// every agent has; an empty command leaves it to the snapshot.
func (n *node) run(ctx context.Context, name string, w *lab.Net, flags []string, command ...string) error {
	n.containers = append(n.containers, name)
	line := append([]string{"run", "--detach", "--null-io",
		"--with-ns", "network:" + w.Path,
		"--annotation", `ateom.dev/durable-dirs=[{"name":"home","mountPath":"/home/agent"}]`,
		"--annotation", fmt.Sprintf(`ateom.dev/readiness=[{"httpGet":{"path":"/ready","port":%d},"periodSeconds":1,"failureThreshold":60}]`, agentPort),
	}, flags...)
	line = append(line, imageName, name)
	return n.ctr(ctx, nil, append(line, command...)...)
}

// shutDown removes the node's containers and ends its containerd.
func (n *node) shutDown() error {
	var errs []error
	for _, name := range n.containers {
		// A container whose start failed is gone already.
		ctx, cancel := context.WithTimeout(context.Background(), shutDownTimeout)
		_ = n.ctr(ctx, nil, "tasks", "delete", "--force", name)
		_ = n.ctr(ctx, nil, "containers", "delete", name)
		cancel()
	}
	if err := n.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		errs = append(errs, fmt.Errorf("stop containerd of %s: %w", n.name, err))
	}
	var exit *exec.ExitError
	if err := n.daemon.Wait(); err != nil && !errors.As(err, &exit) {
		errs = append(errs, fmt.Errorf("wait for containerd of %s: %w", n.name, err))
	}
	return errors.Join(errs...)
}
