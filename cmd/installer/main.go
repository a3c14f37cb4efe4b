// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command installer puts the runtime onto a Kubernetes node and takes it off
// again. See docs/kubernetes.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/cmd/installer/node"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	err := newApp().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func newApp() *cli.App {
	return &cli.App{
		Name:    "installer",
		Usage:   "put the runtime onto a node, and take it off again",
		Version: version,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Value: "/", Usage: "where the node's file system is"},
			&cli.StringFlag{Name: "source", Value: "/opt/ateom/bin", Usage: "the `DIRECTORY` of programs to install"},
			&cli.StringFlag{Name: "dir", Value: node.DefaultDir, Usage: "the `DIRECTORY` on the node that gets them"},
			&cli.StringFlag{Name: "config", Usage: "a `FILE` to be the node's configuration of ateom, if it exists"},
			&cli.StringFlag{Name: "containerd-config", Value: "/etc/containerd/config.toml", Usage: "containerd's main configuration on the node"},
			&cli.StringFlag{Name: "drop-in", Usage: "the `FILE` to add to it (default: conf.d/ateom.toml beside it)"},
			&cli.StringFlag{Name: "containerd-socket", Value: "/run/containerd/containerd.sock", Usage: "containerd's socket on the node"},
			&cli.StringFlag{Name: "restart", Value: "systemctl restart containerd", Usage: "the `COMMAND` that restarts containerd"},
		},
		Commands: []*cli.Command{
			{Name: "install", Usage: "Install, or bring an installation up to date", Action: with(node.Install)},
			{Name: "uninstall", Usage: "Make the node what it was before the first install; snapshots stay", Action: with(node.Uninstall)},
		},
		ExitErrHandler: func(*cli.Context, error) {}, // main exits
	}
}

// with runs an action with the options that the flags give.
func with(action func(context.Context, node.Options) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		root := c.String("root")
		o := node.Options{
			Root: root, Source: c.String("source"), Dir: c.String("dir"), DropIn: c.String("drop-in"), Containerd: c.String("containerd-config"), Log: c.App.Writer,
			Restart: node.RestartBy(strings.Fields(c.String("restart")), root != "/"),
			CRI:     node.CRIAt(filepath.Join(root, c.String("containerd-socket"))),
		}
		if path := c.String("config"); path != "" {
			config, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("read configuration: %w", err)
			}
			o.Config = config
		}
		return action(c.Context, o)
	}
}
