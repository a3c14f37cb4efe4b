// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package snapshots is the group of commands about ateom's snapshots, in the
// node's local store and in buckets.
package snapshots

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// Command returns the group.
func Command() *cli.Command {
	return &cli.Command{
		Name:    "snapshots",
		Aliases: []string{"snapshot"},
		Usage:   "Look at and manage ateom's snapshots (containerd's own are under containerd-snapshots)",
		Subcommands: []*cli.Command{
			lsCommand(),
			inspectCommand(),
			filesCommand(),
			catCommand(),
			diffCommand(),
			exportCommand(),
			cpCommand(),
			verifyCommand(),
			fsckCommand(),
			rmCommand(),
			pruneCommand(),
			gcCommand(),
		},
	}
}

// leaf returns a command on stores that may answer in JSON.
func leaf(cmd cli.Command, flags ...cli.Flag) *cli.Command {
	cmd.Flags = append(flags, node.StoreFlag, &cli.BoolFlag{Name: "json", Usage: "Answer with one JSON value on standard output"})
	cmd.Action = exit.Action(cmd.Action)
	cmd.OnUsageError = exit.OnUsage
	return &cmd
}

// ids parses the command's arguments, of which there must be at least least
// and, unless most is 0, at most most.
func ids(c *cli.Context, least, most int) ([]artifacts.ID, error) {
	n := c.NArg()
	if n < least || (most > 0 && n > most) {
		return nil, exit.WithHint(exit.Usagef("%s: want %s, got %d arguments", c.Command.Name, c.Command.ArgsUsage, n),
			"see ctr-ateom snapshots %s --help; flags go before the id", c.Command.Name)
	}
	out := make([]artifacts.ID, 0, n)
	for _, arg := range c.Args().Slice() {
		id, err := parseID(c, arg)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

func parseID(c *cli.Context, arg string) (artifacts.ID, error) {
	id, err := artifacts.ParseID(arg)
	if err == nil {
		return id, nil
	}
	hint := "list snapshots with: ctr-ateom snapshots ls"
	if len(arg) > 0 && arg[0] == '-' {
		hint = "flags go before the id"
	}
	return "", exit.WithHint(exit.Usagef("%s: %s", c.Command.Name, err), "%s", hint)
}

// watched does work whose bytes the meter counts, with a progress bar on a terminal.
func watched(name string, work func(*transfer.Meter) error) error {
	var meter transfer.Meter
	read := func() (string, int64, int64) {
		_, done, total := meter.Read()
		return name, done, total
	}
	return view.Watch(os.Stderr, read, func() error { return work(&meter) })
}
