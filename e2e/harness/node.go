// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/images"
)

// Limit bounds every single step of a test: a command, a call, a wait.
const Limit = 60 * time.Second

// A Node is a machine as the tests see it: a containerd with directories of
// its own, and ateom's configuration beside it.
type Node struct {
	// Client of the containerd; Restart replaces it.
	Client *client.Client
	// Dir holds all that the node writes.
	Dir string
	// Address is containerd's socket.
	Address string
	// Namespace of containerd that the node's containers are in.
	Namespace string
	// Config is what the node's config.toml says.
	Config Config

	cmd       *exec.Cmd
	ended     chan struct{}
	importing sync.Mutex
}

// nodes counts the nodes of this process.
var nodes atomic.Int32

// Start starts a node; Close ends it.
func Start(c Config) (_ *Node, err error) {
	number := nodes.Add(1)
	n := &Node{
		Dir:       filepath.Join(here.dir, fmt.Sprint(number)),
		Namespace: fmt.Sprintf("%s-%d", here.word, number),
	}
	n.Address = filepath.Join(n.Dir, "c.sock")
	if c.CRI != nil {
		n.Namespace, n.Address = criNamespace, criAddress
	}
	if err := os.Mkdir(n.Dir, 0o700); err != nil {
		return nil, err
	}
	if n.Config, err = c.complete(n.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start node: %w", err), n.Close())
		}
	}()
	if c.CRI == nil {
		if err := n.Config.Write(n.ConfigPath()); err != nil {
			return nil, err
		}
	}
	if err := n.writeDaemonConfig(); err != nil {
		return nil, err
	}
	return n, n.Boot()
}

// NewNode starts a node that ends with the test.
func NewNode(t testing.TB, c Config) *Node {
	t.Helper()
	n, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// A lazyNode is started by the first test that wants it.
type lazyNode struct {
	once sync.Once
	node *Node
	err  error
}

func (l *lazyNode) close() error {
	l.once.Do(func() {}) // nobody has wanted it
	if l.node == nil {
		return nil
	}
	return l.node.Close()
}

// Shared returns the node that all tests of the package may use at the same
// time. It has the default configuration.
func Shared(t testing.TB) *Node {
	t.Helper()
	s := &here.shared
	s.once.Do(func() { s.node, s.err = Start(Config{}) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.node
}

// ConfigPath is the node's config.toml.
func (n *Node) ConfigPath() string {
	if n.Config.CRI != nil {
		return criConfig
	}
	return filepath.Join(n.Dir, "config.toml")
}

// Boot starts containerd and waits until it serves.
func (n *Node) Boot() error {
	binary, err := Program(n.Config.Daemon)
	if err != nil {
		return err
	}
	bin, err := BinDir()
	if err != nil {
		return err
	}
	if n.Config.ShimDir != "" {
		bin = n.Config.ShimDir
	}
	logs, err := os.OpenFile(n.LogPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logs.Close()
	n.cmd = exec.Command(binary, "--config", n.daemonConfigPath())
	// containerd unpacks the checkpoint images that tasks start from into
	// XDG_RUNTIME_DIR and leaves them there.
	n.cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+n.Dir)
	if n.Config.CRI == nil {
		n.cmd.Env = append(n.cmd.Env, "ATEOM_CONFIG="+n.ConfigPath(), "PATH="+bin+":"+os.Getenv("PATH"))
	}
	n.cmd.Stdout, n.cmd.Stderr = logs, logs
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	ended, cmd := make(chan struct{}), n.cmd
	n.ended = ended
	go func() {
		defer close(ended)
		// How it ended shows in its log.
		_ = cmd.Wait()
	}()
	return n.dial()
}

// dial connects as soon as containerd serves.
func (n *Node) dial() error {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	for {
		c, err := client.New(n.Address, client.WithDefaultNamespace(n.Namespace), client.WithTimeout(time.Second))
		if err == nil {
			if _, err = c.Version(ctx); err == nil {
				n.Client = c
				return nil
			}
			err = errors.Join(err, c.Close())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect to containerd: %w: %s", err, n.LastLog())
		case <-n.ended:
			return fmt.Errorf("connect to containerd: it ended: %s", n.LastLog())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// image returns an image, which it gives to containerd if it is missing there.
func (n *Node) image(ctx context.Context, im images.Image) (client.Image, error) {
	n.importing.Lock()
	defer n.importing.Unlock()
	found, err := n.Client.GetImage(ctx, im.Ref)
	if !errdefs.IsNotFound(err) {
		return found, err
	}
	path, err := im.Ensure(ctx)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := n.Client.Import(ctx, f); err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	if found, err = n.Client.GetImage(ctx, im.Ref); err != nil {
		return nil, err
	}
	if err := found.Unpack(ctx, ""); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", im.Ref, err)
	}
	return found, nil
}

// Import gives an image to containerd.
func (n *Node) Import(ctx context.Context, im images.Image) error {
	ctx, cancel := context.WithTimeout(n.context(ctx), Limit)
	defer cancel()
	_, err := n.image(ctx, im)
	return err
}

// Want imports an image for commands that name it.
func (n *Node) Want(t testing.TB, im images.Image) {
	t.Helper()
	if _, err := n.image(n.Context(t), im); err != nil {
		t.Fatal(err)
	}
}

func (n *Node) context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.Namespace)
}

// Context returns a context for calls of the node's Client, bounded by Limit.
func (n *Node) Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(n.context(context.Background()), Limit)
	t.Cleanup(cancel)
	return ctx
}

// Stop ends containerd with a signal; the sandboxes live on.
func (n *Node) Stop(signal syscall.Signal) error {
	if n.Client != nil {
		n.Client.Close()
		n.Client = nil
	}
	if n.cmd == nil || n.cmd.Process == nil {
		return nil
	}
	if err := n.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop containerd: %w", err)
	}
	select {
	case <-n.ended:
		return nil
	case <-time.After(Limit):
		return errors.Join(fmt.Errorf("stop containerd: it lives on after %s", Limit), n.cmd.Process.Kill())
	}
}

// Restart ends containerd with a signal and starts it again.
func (n *Node) Restart(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := n.Stop(signal); err != nil {
		t.Fatal(err)
	}
	if err := n.Boot(); err != nil {
		t.Fatal(err)
	}
}

// Close ends containerd, says what ateom left in its directories, and removes
// the node.
func (n *Node) Close() error {
	return errors.Join(n.Stop(syscall.SIGTERM), n.leftovers(), lab.UnmountBelow(n.Dir), os.RemoveAll(n.Dir))
}

// PID is containerd's process.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// LogPath is containerd's log, which has the shims' too.
func (n *Node) LogPath() string { return filepath.Join(n.Dir, "containerd.log") }

// Warnings returns the last lines of that log that are not about the ordinary.
func (n *Node) Warnings() string {
	b, err := os.ReadFile(n.LogPath())
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "level=warn") || strings.Contains(line, "level=error") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// LastLog returns the end of that log.
func (n *Node) LastLog() []byte {
	b, err := os.ReadFile(n.LogPath())
	if err != nil {
		return []byte(err.Error())
	}
	const tail = 4000
	return bytes.TrimSpace(b[max(0, len(b)-tail):])
}
