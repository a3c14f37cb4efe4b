// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/wire"
)

// usageExit is the exit code of a command line that is wrong; those of failures
// are ctr-ateom's (docs/cli.md).
const usageExit = 2

// Run runs the plugin and returns its exit code.
func Run(ctx context.Context, version string, args []string, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name: "kubectl ateom", HelpName: "kubectl ateom",
		Usage:   "pause, commit and resume pods of the runtime class ateom",
		Version: version, Writer: stdout, ErrWriter: stderr,
		Commands: []*cli.Command{
			podCommand(wire.PauseVerb, "Save a pod to its node's disk and free its memory", nil),
			podCommand("resume", "Bring a paused pod back; returns when its ateom.dev/readiness probes pass", nil),
			podCommand("commit", "Upload a snapshot of a pod to a store; the last line of output is its id", []cli.Flag{
				&cli.StringFlag{Name: "scope", Usage: "`Full|Data` (default: what the pod's on-commit annotation says)"},
				&cli.StringFlag{Name: "store", Usage: "`NAME` of a store in the node's configuration (default: the pod's, else the node's)"},
			}),
			podCommand("status", "Show what a pod's sandbox is doing", nil),
			snapshotsCommand(),
		},
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return &usageError{err} },
		ExitErrHandler: func(*cli.Context, error) {}, // the exit code is Run's result
	}
	err := app.RunContext(ctx, flagsFirst(app.Commands, args))
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "kubectl ateom:", err)
	var usage *usageError
	var failed *wire.Failure
	switch {
	case errors.As(err, &usage):
		return usageExit
	case errors.As(err, &failed):
		if failed.Hint != "" {
			fmt.Fprintln(stderr, "hint:", failed.Hint)
		}
		return max(1, failed.Exit)
	default:
		return 1
	}
}

type usageError struct{ error }

// connection are the flags by which kubectl finds the cluster and the agents.
var connection = []cli.Flag{
	&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, Usage: "the pod's `NAMESPACE` (default: the context's)"},
	&cli.StringFlag{Name: "kubeconfig", Usage: "`FILE` to use instead of the default one"},
	&cli.StringFlag{Name: "context", Usage: "`CONTEXT` of the kubeconfig"},
	&cli.StringFlag{Name: "cluster", Usage: "`CLUSTER` of the kubeconfig"},
	&cli.StringFlag{Name: "user", Usage: "`USER` of the kubeconfig"},
	&cli.StringFlag{Name: "as", Usage: "`NAME` to impersonate"},
	&cli.StringSliceFlag{Name: "as-group", Usage: "`GROUP` to impersonate; may be given more than once"},
	&cli.StringFlag{Name: "agent-namespace", Value: "ateom-system", Usage: "`NAMESPACE` of the node agents"},
	&cli.BoolFlag{Name: "json", Usage: "Answer with one JSON value on standard output"},
}

// podCommand is a command about one pod.
func podCommand(verb, usage string, flags []cli.Flag) *cli.Command {
	return &cli.Command{
		Name: verb, Usage: usage, ArgsUsage: "POD [flags]", Flags: append(flags, connection...),
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return &usageError{err} },
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return &usageError{fmt.Errorf("%s: want the name of one pod", verb)}
			}
			k, name := newKubectl(c), c.Args().First()
			found, err := k.pod(c.Context, name)
			if err != nil {
				return err
			}
			if verb == wire.PauseVerb {
				if err := found.checkPause(name); err != nil {
					return err
				}
			}
			agent, err := k.agent(c.Context, found.Spec.NodeName)
			if err != nil {
				return err
			}
			var body any
			if verb != wire.StatusVerb {
				body = wire.Request{Scope: c.String("scope"), Store: c.String("store")}
			}
			out, err := k.ask(c.Context, agent, wire.PodPath(found.Metadata.Namespace, name, verb), body)
			if err != nil {
				return err
			}
			return show(c, out)
		},
	}
}

func snapshotsCommand() *cli.Command {
	return &cli.Command{
		Name: "snapshots", Usage: "List what the pods of the namespace have committed", ArgsUsage: "[flags]",
		Flags:        append([]cli.Flag{&cli.StringFlag{Name: "store", Usage: "`NAME` of a store (default: the nodes')"}}, connection...),
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return &usageError{err} },
		Action: func(c *cli.Context) error {
			k := newKubectl(c)
			namespace, err := k.namespace(c.Context)
			if err != nil {
				return err
			}
			agent, err := k.agent(c.Context, "")
			if err != nil {
				return err
			}
			path := wire.SnapshotsPath(namespace)
			if store := c.String("store"); store != "" {
				path += "?" + url.Values{wire.StoreParam: {store}}.Encode()
			}
			out, err := k.ask(c.Context, agent, path, nil)
			if err != nil {
				return err
			}
			return show(c, out)
		},
	}
}

// failureOf returns the failure in an answer, if it is one.
func failureOf(answer []byte) error {
	var d wire.Document
	if err := json.Unmarshal(answer, &d); err != nil {
		if len(answer) > 0 && answer[0] == '[' {
			return nil // a list is no failure
		}
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	if d.Error != nil {
		return d.Error
	}
	return nil
}
