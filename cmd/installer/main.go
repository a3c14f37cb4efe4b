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
			&cli.StringFlag{Name: "config", Usage: "a `DIRECTORY` of files for " + node.ConfigDir + ", if it exists: config.toml, and keys that it names"},
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
		if dir := c.String("config"); dir != "" {
			var err error
			if o.Config, err = filesIn(dir); err != nil {
				return fmt.Errorf("read configuration: %w", err)
			}
		}
		return action(c.Context, o)
	}
}

// filesIn returns the files of a directory by name, as a Secret is mounted: by
// links to what lies below a name with two dots.
func filesIn(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		fi, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !fi.Mode().IsRegular() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return files, nil
}
