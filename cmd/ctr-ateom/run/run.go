// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package run is ctr's run with ateom as the default runtime, and with --from,
// which starts the task from a committed snapshot.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/ctr/commands"
	"github.com/containerd/containerd/v2/cmd/ctr/commands/run"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	"github.com/ateom/ateom/shim/sandboxid"
)

// cleanupTimeout bounds the removal of what a failed or finished run leaves.
const cleanupTimeout = 30 * time.Second

// Command returns ctr's run command with ateom's flags and default put in.
func Command() *cli.Command {
	cmd := *run.Command
	cmd.Usage = "Run a container; with --from, start it from a committed snapshot"
	cmd.Description = "With --from the new task goes on where the snapshot was taken (scope Full), or starts cold over\n" +
		"its DurableDirs (scope Data); the command returns, or attaches, when the readiness probes pass.\n" +
		"IMAGE, mounts and annotations must be those of the container that was committed; so must the\n" +
		"command, which with scope Full is taken from the snapshot if none is given.\n" +
		"In the foreground the exit code is the program's own."
	cmd.Flags = append([]cli.Flag{
		&cli.StringFlag{Name: "from", Usage: "Start from the snapshot with this `ID`"},
		&cli.StringFlag{Name: "store", Usage: "`NAME` of the store, or a URL, that --from reads and commits go to (default: the node's default store)"},
	}, withDefaultRuntime(run.Command.Flags)...)
	cmd.Action = exit.Action(action(run.Command.Action))
	cmd.OnUsageError = exit.OnUsage
	return &cmd
}

// withDefaultRuntime returns flags with ateom as the default of --runtime.
func withDefaultRuntime(flags []cli.Flag) []cli.Flag {
	out := make([]cli.Flag, 0, len(flags))
	for _, f := range flags {
		if s, ok := f.(*cli.StringFlag); ok && s.Name == "runtime" {
			own := *s
			own.Value = sandbox.Runtime
			f = &own
		}
		out = append(out, f)
	}
	return out
}

// action runs containers of ateom here and leaves those of other runtimes to stock.
func action(stock cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		o, err := parseOrigin(c)
		if err != nil {
			return err
		}
		if !sandbox.IsRuntime(c.String("runtime")) {
			if o.asked() {
				return exit.WithHint(exit.Usagef("run: --from and --store need the runtime %s, got %s", sandbox.Runtime, c.String("runtime")),
					"leave out --runtime")
			}
			return stock(c)
		}
		if err := checkArguments(c); err != nil {
			return err
		}
		return start(c, o)
	}
}

func checkArguments(c *cli.Context) error {
	want, usage := 2, "IMAGE NAME"
	if c.IsSet("config") {
		want, usage = 1, "NAME"
		if c.NArg() > want {
			return exit.Usagef("run: with --config the container's name is the only argument, got %d", c.NArg())
		}
	}
	if c.NArg() < want {
		return exit.WithHint(exit.Usagef("run: want %s, got %d of %d arguments", usage, c.NArg(), want), "see ctr-ateom run --help")
	}
	if c.Bool("rm") && c.Bool("detach") {
		return exit.Usagef("run: --rm and --detach exclude each other")
	}
	return nil
}

// start makes the container and its task, and in the foreground stays with it.
func start(c *cli.Context, o origin) (err error) {
	plain, ctx, cancel, err := commands.NewClient(c)
	if err != nil {
		return exit.WithHint(fmt.Errorf("connect to containerd: %w (%w)", err, errdefs.ErrUnavailable),
			"is containerd running, and is --address (or CONTAINERD_ADDRESS) its socket?")
	}
	defer cancel()
	defer plain.Close()
	cl, err := o.client(plain)
	if err != nil {
		return err
	}
	container, err := run.NewContainer(ctx, cl, o.withArguments(c))
	if err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	defer func() {
		// A container that could not be restored is of no use, and in the way of the next try.
		var status cli.ExitCoder
		failed := err != nil && !errors.As(err, &status)
		if c.Bool("rm") || (failed && o.from != "") {
			remove(ctx, container)
		}
	}()
	t, err := createTask(ctx, c, cl, container, o)
	if err != nil {
		return o.explain(container.ID(), err)
	}
	code, err := t.run(ctx)
	if err != nil {
		return o.explain(container.ID(), err)
	}
	if code != 0 {
		return cli.Exit("", int(code))
	}
	return nil
}

// createTask makes the task; while a snapshot is fetched for it, a terminal
// shows how far that is.
func createTask(ctx context.Context, c *cli.Context, cl *client.Client, container client.Container, o origin) (*task, error) {
	if o.from == "" || c.Bool("tty") {
		return newTask(ctx, c, cl, container)
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the spec of container %q: %w", container.ID(), err)
	}
	progress := sandbox.NewProgress(ctx, c, container.ID(), sandboxid.Group(container.ID(), spec.Annotations))
	defer progress.Close()
	var t *task
	err = view.Watch(os.Stderr, progress.Read, func() (err error) {
		t, err = newTask(ctx, c, cl, container)
		return err
	})
	return t, err
}

// remove deletes the container and its rootfs; ctx may be over.
func remove(ctx context.Context, container client.Container) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		log.L.WithError(err).Errorf("remove container %s", container.ID())
	}
}
