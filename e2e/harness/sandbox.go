// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/images"
)

// Runtime is the runtime type of the shim under test.
const Runtime = "io.containerd.ateom.v1"

// A Container is what a test runs.
type Container struct {
	// Image is images.Busybox by default.
	Image images.Image
	Args  []string
	// Annotations of the container's spec.
	Annotations map[string]string
	// Network gives the container a network namespace with an address.
	Network *lab.Net
	// Opts change the spec after all else.
	Opts []oci.SpecOpts
	// IO is a file by default; Task.Log reads it.
	IO cio.Creator
	// Options of the runtime, as client.WithRuntime takes them.
	Options any
}

// A Task is a container and its task on a node.
type Task struct {
	client.Task
	Node      *Node
	ID        string
	Container client.Container
	// LogPath is the file that the program's output goes to.
	LogPath string
}

var (
	taskCount    atomic.Int32
	networkCount atomic.Int32
)

var notInIDs = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// NewID returns an id for a container of the test, which says whose it is.
func NewID(t testing.TB) string {
	name := notInIDs.ReplaceAllString(strings.TrimPrefix(t.Name(), "Test"), "-")
	return fmt.Sprintf("%s-%d", strings.Trim(name[:min(len(name), 40)], "-"), taskCount.Add(1))
}

// NewNetwork makes a network namespace that ends with the test.
func NewNetwork(t testing.TB) *lab.Net {
	t.Helper()
	number := int(networkCount.Add(1))
	n, err := lab.NewNet(filepath.Join(here.dir, "net", fmt.Sprint(number)), number)
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

// Create makes a container; it is removed with its task when the test ends.
func (n *Node) Create(t testing.TB, c Container) *Task {
	t.Helper()
	ctx := n.Context(t)
	if c.Image.Name == "" {
		c.Image = images.Busybox
	}
	image, err := n.image(ctx, c.Image)
	if err != nil {
		t.Fatal(err)
	}
	opts := []oci.SpecOpts{oci.WithImageConfigArgs(image, c.Args), oci.WithAnnotations(c.Annotations)}
	if len(c.Args) > 0 {
		opts = append(opts, oci.WithProcessArgs(c.Args...))
	}
	if c.Network != nil {
		opts = append(opts, oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: c.Network.Path}))
	}
	id := NewID(t)
	task := &Task{Node: n, ID: id, LogPath: n.logPath(id)}
	task.Container, err = n.Client.NewContainer(ctx, id,
		client.WithImage(image),
		client.WithNewSnapshot(id, image),
		client.WithRuntime(Runtime, c.Options),
		client.WithNewSpec(append(opts, c.Opts...)...))
	if err != nil {
		t.Fatalf("create container: %v", err)
	}
	t.Cleanup(func() { task.remove(t) })
	return task
}

// Run creates a container and starts its task.
func (n *Node) Run(t testing.TB, c Container) *Task {
	t.Helper()
	task, err := n.TryRun(t, c)
	if err != nil {
		t.Fatalf("%v\ncontainerd's log:\n%s", err, n.LastLog())
	}
	return task
}

// TryRun is Run for containers that may be refused.
func (n *Node) TryRun(t testing.TB, c Container) (*Task, error) {
	t.Helper()
	task := n.Create(t, c)
	return task, task.Begin(t, c)
}

// Begin makes the task of a created container and starts it.
func (task *Task) Begin(t testing.TB, c Container) error {
	if err := task.Make(t, c); err != nil {
		return err
	}
	if err := task.Start(task.Node.Context(t)); err != nil {
		return fmt.Errorf("start task: %w", err)
	}
	return nil
}

// Make makes the task of a created container, and does not start it.
func (task *Task) Make(t testing.TB, c Container) (err error) {
	if c.IO == nil {
		c.IO = cio.LogFile(task.LogPath)
	}
	if task.Task, err = task.Container.NewTask(task.Node.Context(t), c.IO); err != nil {
		return fmt.Errorf("create task: %w", err)
	}
	return nil
}

// remove ends the task and removes the container, whatever state they are in.
func (task *Task) remove(t testing.TB) {
	ctx, cancel := context.WithTimeout(task.Node.context(context.Background()), Limit)
	defer cancel()
	// The node may have been restarted, so that the old client is of no use.
	container, err := task.Node.Client.LoadContainer(ctx, task.ID)
	if errdefs.IsNotFound(err) {
		return
	}
	if err == nil {
		err = removeContainer(ctx, container)
	}
	if err != nil {
		t.Errorf("remove %s: %v\ncontainerd's log:\n%s", task.ID, err, task.Node.LastLog())
	}
}

func removeContainer(ctx context.Context, container client.Container) error {
	task, err := container.Task(ctx, nil)
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return err
	default:
		if _, err := task.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete task: %w", err)
		}
	}
	if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil {
		return fmt.Errorf("delete container: %w", err)
	}
	return nil
}

// Remove ends the task and removes the container before the test ends.
func (task *Task) Remove(t testing.TB) {
	t.Helper()
	task.remove(t)
}

// Reload takes the task from the node's present client, after a Restart.
func (task *Task) Reload(t testing.TB) {
	t.Helper()
	ctx := task.Node.Context(t)
	container, err := task.Node.Client.LoadContainer(ctx, task.ID)
	if err != nil {
		t.Fatal(err)
	}
	task.Container = container
	if task.Task, err = container.Task(ctx, nil); err != nil {
		t.Fatal(err)
	}
}

// Log returns what the program has written.
func (task *Task) Log(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(task.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// AwaitLog waits until the program has written text.
func (task *Task) AwaitLog(t testing.TB, text string) {
	t.Helper()
	Eventually(t, func() error {
		if log := task.Log(t); !strings.Contains(log, text) {
			return fmt.Errorf("%s has not written %q, but:\n%s", task.ID, text, log)
		}
		return nil
	})
}

// AwaitExit waits for the end of a process whose Wait was called before and
// returns its exit code.
func AwaitExit(t testing.TB, exited <-chan client.ExitStatus) uint32 {
	t.Helper()
	select {
	case status := <-exited:
		code, _, err := status.Result()
		if err != nil {
			t.Fatal(err)
		}
		return code
	case <-time.After(Limit):
		t.Fatalf("the process did not end within %s", Limit)
		return 0
	}
}

// Kill ends the task with a signal and waits for that; it returns the exit code.
func (task *Task) KillAndWait(t testing.TB, signal syscall.Signal) uint32 {
	t.Helper()
	ctx := task.Node.Context(t)
	exited, err := task.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Kill(ctx, signal); err != nil {
		t.Fatal(err)
	}
	return AwaitExit(t, exited)
}

// State returns what containerd says of the task.
func (task *Task) State(t testing.TB) client.ProcessStatus {
	t.Helper()
	status, err := task.Status(task.Node.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	return status.Status
}

// WantState fails the test unless the task is in that state.
func (task *Task) WantState(t testing.TB, want client.ProcessStatus) {
	t.Helper()
	if got := task.State(t); got != want {
		t.Errorf("%s is %s, want %s", task.ID, got, want)
	}
}

// AwaitState waits until the task is in that state.
func (task *Task) AwaitState(t testing.TB, want client.ProcessStatus) {
	t.Helper()
	Eventually(t, func() error {
		if got := task.State(t); got != want {
			return fmt.Errorf("%s is %s, want %s", task.ID, got, want)
		}
		return nil
	})
}

// RunToEnd starts the task of a created container, without streams, and
// returns its exit code.
func (task *Task) RunToEnd(t testing.TB) uint32 {
	t.Helper()
	ctx := task.Node.Context(t)
	var err error
	if task.Task, err = task.Container.NewTask(ctx, cio.NullIO); err != nil {
		t.Fatal(err)
	}
	exited, err := task.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return AwaitExit(t, exited)
}

// Named returns a task that there may be, or will be; it is removed when the test ends.
func (n *Node) Named(t testing.TB, id string) *Task {
	t.Helper()
	task := &Task{Node: n, ID: id, LogPath: n.logPath(id)}
	t.Cleanup(func() { task.remove(t) })
	return task
}

// logPath is the file that the program's output goes to.
func (n *Node) logPath(id string) string { return filepath.Join(n.Dir, id+".log") }
