// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox reaches the snapshot service of the sandbox that a container
// belongs to: from the container's id, through its shim's socket.
package sandbox

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/ctr/commands"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/sandboxid"
)

// Runtime is the runtime type of ateom's shim.
const Runtime = "io.containerd.ateom.v1"

// shimBinary is the shim's file name; a container may name its runtime by the
// path of the binary instead of by its type.
const shimBinary = "containerd-shim-ateom-v1"

// dialTimeout bounds connecting to a shim's socket, which is local.
const dialTimeout = 5 * time.Second

// Flags are the flags of every command that talks to a sandbox.
var Flags = []cli.Flag{
	&cli.StringFlag{
		Name:    "shim-address",
		EnvVars: []string{"ATEOM_SHIM_ADDRESS"},
		Usage:   "Address of the sandbox's shim (default: computed from containerd's address, the namespace and the sandbox's id)",
	},
}

// A Container is a container of containerd, and its sandbox's service if its
// runtime is ateom.
type Container struct {
	client.Container
	Client *client.Client
	// ID is what the user gave.
	ID string
	// Service is nil if another runtime runs the container.
	Service ateomv1.SnapshotsClient

	close []func()
}

// Open finds the container whose id is the command's only argument and
// connects to its sandbox. The context carries containerd's namespace and ends
// with Close.
func Open(c *cli.Context) (*Container, context.Context, error) {
	id, err := onlyArgument(c)
	if err != nil {
		return nil, nil, err
	}
	cl, ctx, cancel, err := commands.NewClient(c)
	if err != nil {
		return nil, nil, exit.WithHint(fmt.Errorf("connect to containerd: %w (%w)", err, errdefs.ErrUnavailable),
			"is containerd running, and is --address (or CONTAINERD_ADDRESS) its socket?")
	}
	s := &Container{Client: cl, ID: id, close: []func(){cancel, func() { cl.Close() }}}
	if err := s.connect(ctx, c); err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, ctx, nil
}

// Close ends the connections.
func (s *Container) Close() {
	for _, f := range slices.Backward(s.close) {
		f()
	}
}

func (s *Container) connect(ctx context.Context, c *cli.Context) error {
	var err error
	if s.Container, err = s.Client.LoadContainer(ctx, s.ID); err != nil {
		if errdefs.IsNotFound(err) {
			return exit.WithHint(fmt.Errorf("find container %q in namespace %q: %w", s.ID, c.String("namespace"), errdefs.ErrNotFound),
				"list containers with: ctr-ateom -n %s containers ls", c.String("namespace"))
		}
		return fmt.Errorf("find container %q: %w", s.ID, err)
	}
	info, err := s.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return fmt.Errorf("look at container %q: %w", s.ID, err)
	}
	if !IsRuntime(info.Runtime.Name) {
		return nil
	}
	spec, err := s.Spec(ctx)
	if err != nil {
		return fmt.Errorf("read the spec of container %q: %w", s.ID, err)
	}
	addresses, err := candidates(ctx, c.String("shim-address"), c.String("address"), sandboxid.Group(s.ID, spec.Annotations))
	if err != nil {
		return fmt.Errorf("find the shim of container %q: %w", s.ID, err)
	}
	return s.dial(ctx, addresses)
}

// dial takes the first address that answers.
func (s *Container) dial(ctx context.Context, addresses []string) error {
	var first error
	for _, a := range addresses {
		conn, err := shim.AnonDialer(a, dialTimeout)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		t := ttrpc.NewClient(conn)
		s.close = append(s.close, func() { t.Close() })
		s.Service = ateomv1.NewSnapshotsClient(t)
		return nil
	}
	if _, err := s.Task(ctx, nil); errdefs.IsNotFound(err) {
		return exit.WithHint(fmt.Errorf("container %q has no task: %w", s.ID, errdefs.ErrFailedPrecondition),
			"start one with: ctr-ateom tasks start -d %s", s.ID)
	}
	return exit.WithHint(fmt.Errorf("connect to the shim of container %q: %w (%w)", s.ID, first, errdefs.ErrUnavailable),
		"the address is computed from containerd's own: give --address as containerd's configuration spells it, or --shim-address")
}

// IsRuntime reports whether name, a runtime type or the path of a shim's
// binary, means ateom.
func IsRuntime(name string) bool {
	return name == Runtime || filepath.Base(name) == shimBinary
}

// candidates returns the addresses under which a sandbox's shim may listen. A
// shim derives its address from the way in which containerd's configuration
// spells containerd's own socket, and users may spell it in another way.
func candidates(ctx context.Context, given, containerd, group string) ([]string, error) {
	if given != "" {
		if !strings.Contains(given, "://") {
			given = "unix://" + given
		}
		return []string{given}, nil
	}
	spellings := []string{containerd}
	if abs, err := filepath.Abs(containerd); err == nil {
		spellings = append(spellings, abs)
	}
	if real, err := filepath.EvalSymlinks(containerd); err == nil {
		spellings = append(spellings, real)
	}
	var addresses []string
	for _, s := range spellings {
		a, err := shim.SocketAddress(ctx, s, group, false)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

// onlyArgument returns the container's id.
func onlyArgument(c *cli.Context) (string, error) {
	switch args := c.Args(); {
	case args.First() == "":
		return "", exit.WithHint(exit.Usagef("%s: the container's id is missing", c.Command.Name), "see ctr-ateom tasks %s --help", c.Command.Name)
	case args.Len() > 1 && strings.HasPrefix(args.Get(1), "-"):
		return "", exit.WithHint(exit.Usagef("%s: %s after the container's id", c.Command.Name, args.Get(1)), "flags go before the id")
	case args.Len() > 1:
		return "", exit.Usagef("%s: want one container id, got %d arguments", c.Command.Name, args.Len())
	default:
		return args.First(), nil
	}
}
