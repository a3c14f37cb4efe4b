// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bootstrap is what the shim binary does when containerd runs it with
// an action: start (one process for all containers of a sandbox), delete
// (clean up after a shim that died) and info.
package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"

	"github.com/ateom/ateom/shim/sandboxid"
)

// protocolVersion is what start answers: the task service of version 2 over ttrpc,
// which every containerd from 1.7 on speaks.
const protocolVersion = 2

// actions are those of the runtime with that name.
type actions struct{ name string }

// addressFile is the file of a bundle in which its shim's socket is noted.
const addressFile = "address"

// Start starts the shim process of the sandbox that container id belongs to,
// or finds the one that runs already. It may print nothing but its answer.
func (a actions) Start(ctx context.Context, id string, opts shim.StartOpts) (_ shim.BootstrapParams, err error) {
	params := shim.BootstrapParams{Version: protocolVersion, Protocol: "ttrpc"}
	annotations, err := readAnnotations("config.json")
	if err != nil {
		return params, err
	}
	address, err := shim.SocketAddress(ctx, opts.Address, sandboxid.Group(id, annotations), false)
	if err != nil {
		return params, fmt.Errorf("compute shim address: %w", err)
	}
	params.Address = address
	// Where containerd 1.7 looks for the shim when it was restarted; later ones
	// have a file of their own.
	if err := os.WriteFile(addressFile, []byte(address), 0o600); err != nil {
		return params, fmt.Errorf("note shim address: %w", err)
	}

	listener, err := listen(address)
	if errors.Is(err, errServed) {
		return params, nil
	}
	if err != nil {
		return params, err
	}
	defer func() {
		if err != nil {
			listener.Close()
			_ = shim.RemoveSocket(address)
		}
	}()
	socket, err := listener.File()
	if err != nil {
		return params, fmt.Errorf("open shim socket: %w", err)
	}
	defer socket.Close()
	// The file outlives this process; only the child may remove it.
	listener.SetUnlinkOnClose(false)

	cmd, err := command(ctx, id, opts)
	if err != nil {
		return params, err
	}
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Env = append(cmd.Env, sandboxid.SocketEnv+"="+address)
	if err := cmd.Start(); err != nil {
		return params, fmt.Errorf("start shim: %w", err)
	}
	// Some virtual machines do not let the score be lowered; a shim that the
	// kernel may kill earlier is better than none.
	if err := shim.AdjustOOMScore(cmd.Process.Pid); err != nil {
		log.G(ctx).WithError(err).Debug("leave the shim's OOM score as it is")
	}
	return params, cmd.Process.Release()
}

// command is the shim process itself: this binary without an action.
func command(ctx context.Context, id string, opts shim.StartOpts) (*exec.Cmd, error) {
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-namespace", ns, "-id", id, "-address", opts.Address}
	if opts.Debug {
		args = append(args, "-debug")
	}
	cmd := exec.Command(self, args...)
	// A shim waits; two threads are plenty for it.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// errServed says that a shim listens on the address already.
var errServed = errors.New("shim is running")

// listen binds the shim's socket; a file that nobody serves any more is
// replaced. Containers of one sandbox may be started at the same time: one at a
// time looks and replaces, so that nobody removes what another has just bound.
func listen(address string) (*net.UnixListener, error) {
	unlock, err := lockDir(filepath.Dir(strings.TrimPrefix(address, "unix://")))
	if err != nil {
		return nil, fmt.Errorf("create shim socket: %w", err)
	}
	defer unlock()
	l, err := shim.NewSocket(address)
	if err == nil {
		return l, nil
	}
	if !shim.SocketEaddrinuse(err) {
		return nil, fmt.Errorf("create shim socket: %w", err)
	}
	if shim.CanConnect(address) {
		return nil, errServed
	}
	if err := shim.RemoveSocket(address); err != nil {
		return nil, fmt.Errorf("remove stale shim socket: %w", err)
	}
	if l, err = shim.NewSocket(address); err != nil {
		return nil, fmt.Errorf("create shim socket: %w", err)
	}
	return l, nil
}

// lockDir holds an exclusive lock on a directory, made if need be.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

func readAnnotations(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return spec.Annotations, nil
}

// Info describes the runtime.
func (a actions) Info(context.Context, io.Reader) (*types.RuntimeInfo, error) {
	return &types.RuntimeInfo{
		Name: a.name,
		Version: &types.RuntimeVersion{
			Version:  version.Version,
			Revision: version.Revision,
		},
		Annotations: map[string]string{"dev.ateom.format": "1"},
	}, nil
}
