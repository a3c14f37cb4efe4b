// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package app puts ctr-ateom together: all of ctr's commands, ateom's in place
// of or beside them.
package app

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/cmd/ctr/app"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/run"
	"github.com/ateom/ateom/cmd/ctr-ateom/snapshots"
	"github.com/ateom/ateom/cmd/ctr-ateom/tasks"
)

// Name of the program.
const Name = "ctr-ateom"

const usage = "ctr with Pause, Commit and Resume of gVisor sandboxes"

const description = `Every command of containerd's ctr is here and works as there. Added or changed:

   run                       the default runtime is io.containerd.ateom.v1; --from starts from a snapshot
   tasks pause, resume       tell what was saved and how long each phase took
   tasks commit, status      upload a snapshot of a sandbox; show what a sandbox is doing
   snapshots                 ateom's snapshots, in the node's local store and in buckets
   containerd-snapshots      containerd's own group "snapshots" (of its snapshotters)

Flags of a command go before its arguments.

Exit codes:

   0  done
   1  failed, for a reason that no other code names
   2  the command line or a value in it is wrong; nothing was tried
   3  no such container, task, snapshot, store or image
   4  the sandbox or the store is not in a state that allows it
   5  containerd, a sandbox or a store does not answer, or not in time
   6  bytes are not what they should be: a snapshot is damaged
   7  not allowed: missing privileges or credentials

   "run" in the foreground ends with the program's own exit status.`

// New returns the program.
func New() *cli.App {
	a := app.New()
	a.Name = Name
	a.HelpName = Name
	a.Usage = usage
	a.Description = description
	a.Flags = append(slices.Clone(a.Flags), node.Flags...)
	a.Commands = commands(a.Commands)
	a.OnUsageError = exit.OnUsage
	// Report prints errors and main exits: a command must not end the process itself.
	a.ExitErrHandler = func(*cli.Context, error) {}
	return a
}

// commands replaces and renames ctr's commands.
func commands(stock []*cli.Command) []*cli.Command {
	out := make([]*cli.Command, 0, len(stock)+1)
	for _, c := range stock {
		switch c.Name {
		case "run":
			out = append(out, run.Command())
		case "tasks":
			out = append(out, tasks.Command())
		case "snapshots":
			renamed := *c
			renamed.Name, renamed.Aliases = "containerd-snapshots", []string{"containerd-snapshot"}
			renamed.Usage = `Manage containerd's snapshots (ctr's own group "snapshots")`
			out = append(out, snapshots.Command(), &renamed)
		default:
			out = append(out, c)
		}
	}
	return out
}

// Run runs the program and returns its exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := New()
	a.Writer, a.ErrWriter = stdout, stderr
	return exit.Report(a.RunContext(ctx, args), Name, stdout, stderr)
}

func init() {
	// ctr prints with the name of its own module otherwise.
	cli.VersionPrinter = func(c *cli.Context) {
		fmt.Fprintln(c.App.Writer, c.App.Name, c.App.Version)
	}
}
