// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/console"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/ctr/commands"
	"github.com/containerd/containerd/v2/cmd/ctr/commands/tasks"
	"github.com/containerd/errdefs"
	gocni "github.com/containerd/go-cni"
	"github.com/containerd/log"
	"github.com/urfave/cli/v2"
)

// A task is the new container's task, with what run lends it.
type task struct {
	client.Task
	cli     *cli.Context
	con     console.Console // nil without --tty
	network gocni.CNI       // nil without --cni
	netID   string
}

// newTask creates the task; a restore has happened, or is under way, when it returns.
func newTask(ctx context.Context, c *cli.Context, cl *client.Client, container client.Container) (_ *task, err error) {
	t := &task{cli: c, netID: commands.FullID(ctx, container)}
	if c.Bool("cni") {
		if t.network, err = gocni.New(gocni.WithDefaultConf); err != nil {
			return nil, fmt.Errorf("load the CNI configuration: %w", err)
		}
	}
	if c.Bool("tty") {
		t.con = console.Current()
		if err := t.con.SetRaw(); err != nil {
			return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		defer func() {
			if err != nil {
				t.con.Reset()
			}
		}()
	}
	in := newInput(os.Stdin)
	creator, err := streams(c, t.con, in)
	if err != nil {
		return nil, err
	}
	opts, err := options(ctx, c, cl, container)
	if err != nil {
		return nil, err
	}
	if t.Task, err = container.NewTask(ctx, creator, opts...); err != nil {
		return nil, err
	}
	go in.closeWith(ctx, t)
	return t, nil
}

// run starts the task. Detached it returns when the task runs, and on failure
// removes it; else it returns the program's exit status and removes the task.
func (t *task) run(ctx context.Context) (status uint32, err error) {
	if t.con != nil {
		defer t.con.Reset()
	}
	detach := t.cli.Bool("detach")
	defer func() {
		if !detach || err != nil {
			t.remove(ctx)
		}
	}()
	exited, err := t.Wait(ctx)
	if err != nil {
		return 0, fmt.Errorf("wait for the task: %w", err)
	}
	if path := t.cli.String("pid-file"); path != "" {
		if err := commands.WritePidFile(path, int(t.Pid())); err != nil {
			return 0, fmt.Errorf("write the pid file: %w", err)
		}
	}
	if t.network != nil {
		if _, err := t.network.Setup(ctx, t.netID, fmt.Sprintf("/proc/%d/ns/net", t.Pid())); err != nil {
			return 0, fmt.Errorf("set up the network: %w", err)
		}
	}
	if err := t.Start(ctx); err != nil {
		return 0, err
	}
	if detach {
		return 0, nil
	}
	return t.attend(ctx, exited)
}

// attend passes on signals, or the terminal's size, until the program ends.
func (t *task) attend(ctx context.Context, exited <-chan client.ExitStatus) (uint32, error) {
	if t.con != nil {
		if err := tasks.HandleConsoleResize(ctx, t, t.con); err != nil {
			log.L.WithError(err).Error("follow the terminal's size")
		}
	} else {
		signals := commands.ForwardAllSignals(ctx, t)
		defer commands.StopCatch(signals)
	}
	end := <-exited
	status, _, err := end.Result()
	if err != nil {
		return 0, fmt.Errorf("wait for the task: %w", err)
	}
	if _, err := t.Delete(ctx); err != nil {
		return 0, fmt.Errorf("delete the task: %w", err)
	}
	return status, nil
}

// remove takes away the task and its network if they are still there; ctx may be over.
func (t *task) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if t.network != nil {
		if err := t.network.Remove(ctx, t.netID, ""); err != nil {
			log.L.WithError(err).Error("remove the network")
		}
	}
	if _, err := t.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
		log.L.WithError(err).Error("delete the task")
	}
}
