// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tasks is ctr's group of that name with pause and resume that tell
// what they did, and with commit and status, which ctr has not.
package tasks

import (
	"slices"

	"github.com/containerd/containerd/v2/cmd/ctr/commands/tasks"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
)

// Command returns ctr's group of task commands with ateom's put in. Pause and
// resume of other runtimes' containers stay ctr's own.
func Command() *cli.Command {
	group := *tasks.Command
	group.Subcommands = slices.Clone(tasks.Command.Subcommands)
	for i, stock := range group.Subcommands {
		switch stock.Name {
		case "pause":
			group.Subcommands[i] = pauseCommand(stock.Action)
		case "resume":
			group.Subcommands[i] = resumeCommand(stock.Action)
		}
	}
	group.Subcommands = append(group.Subcommands, commitCommand(), statusCommand())
	return &group
}

// verb returns a command that takes one container and may answer in JSON.
func verb(cmd cli.Command, flags ...cli.Flag) *cli.Command {
	cmd.ArgsUsage = "[flags] CONTAINER"
	cmd.Flags = append(append(flags, jsonFlag), sandbox.Flags...)
	cmd.Action = exit.Action(cmd.Action)
	cmd.OnUsageError = exit.OnUsage
	return &cmd
}

var jsonFlag = &cli.BoolFlag{Name: "json", Usage: "Answer with one JSON value on standard output"}
