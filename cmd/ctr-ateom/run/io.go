// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"

	"github.com/containerd/console"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/ctr/commands/tasks"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
)

// An input is the user's standard input. The program in the sandbox is to see
// its end, which may come before there is a task to tell: ctr's own code
// forgets about it then, and the program waits for ever.
type input struct {
	io.Reader
	once  sync.Once
	ended chan struct{}
}

func newInput(r io.Reader) *input { return &input{Reader: r, ended: make(chan struct{})} }

func (i *input) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	if err != nil {
		i.once.Do(func() { close(i.ended) })
	}
	return n, err
}

// closeWith passes the end on to the task; it returns then, or with ctx.
func (i *input) closeWith(ctx context.Context, t client.Task) {
	select {
	case <-i.ended:
		// A task that has ended needs no end of input.
		_ = t.CloseIO(ctx, client.WithStdinCloser)
	case <-ctx.Done():
	}
}

// streams says where the program's standard streams go.
func streams(c *cli.Context, con console.Console, in *input) (cio.Creator, error) {
	fifos := cio.WithFIFODir(c.String("fifo-dir"))
	switch uri := c.String("log-uri"); {
	case con != nil && c.Bool("null-io"):
		return nil, exit.Usagef("run: --tty and --null-io exclude each other")
	case con != nil:
		return cio.NewCreator(cio.WithStreams(con, con, nil), cio.WithTerminal, fifos), nil
	case c.Bool("null-io"):
		return cio.NullIO, nil
	case uri != "":
		u, err := url.Parse(uri)
		if err != nil {
			return nil, exit.Usagef("run: --log-uri: %s", err)
		}
		return cio.LogURI(u), nil
	}
	return cio.NewCreator(cio.WithStreams(in, os.Stdout, os.Stderr), fifos), nil
}

// options are what ctr's flags and the spec say about the new task.
func options(ctx context.Context, c *cli.Context, cl *client.Client, container client.Container) ([]client.NewTaskOpts, error) {
	opts := tasks.GetNewTaskOpts(c)
	if checkpoint := c.String("checkpoint"); checkpoint != "" {
		image, err := cl.GetImage(ctx, checkpoint)
		if err != nil {
			return nil, fmt.Errorf("find checkpoint %q: %w", checkpoint, err)
		}
		opts = append(opts, client.WithTaskCheckpoint(image))
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the spec of container %q: %w", container.ID(), err)
	}
	if spec.Linux == nil {
		return opts, nil
	}
	// The streams belong to the root user of the container's user namespace.
	if m := spec.Linux.UIDMappings; len(m) > 0 {
		opts = append(opts, client.WithUIDOwner(m[0].HostID))
	}
	if m := spec.Linux.GIDMappings; len(m) > 0 {
		opts = append(opts, client.WithGIDOwner(m[0].HostID))
	}
	return opts, nil
}
