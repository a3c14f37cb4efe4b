// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package serve is the shim's process as long as it lives: its log, its socket, its
// signals. It must never do anything of its own accord: with a sandbox that sleeps, the
// process sleeps too.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/ttrpc"

	ateom "github.com/ateom/ateom/shim"
	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/sandboxid"
)

const (
	// gcPercent is GOGC of a shim, as in containerd's own: it holds little and allocates
	// little.
	gcPercent = 40
	// answerLimit bounds the wait for answers that are due when the shim ends.
	answerLimit = time.Second
	// socketFD is the descriptor of the socket that the start action has bound.
	socketFD = 3
)

// Serve serves the sandbox that is about to be created, in the bundle that is the working
// directory, until its last container is deleted or the process is told to end.
// ctx carries containerd's namespace.
func Serve(ctx context.Context) error {
	debug.SetGCPercent(gcPercent)
	ctx, sd := shutdown.WithShutdown(ctx)
	if err := reap.Children(ctx); err != nil {
		return err
	}
	removeSocket := func(context.Context) error { return nil }
	if address := os.Getenv(sandboxid.SocketEnv); address != "" {
		removeSocket = func(context.Context) error { return shim.RemoveSocket(address) }
	}
	sd.RegisterCallback(removeSocket)
	if err := openLog(ateom.CreateLimit); err != nil {
		return errors.Join(err, removeSocket(ctx))
	}
	listener, err := socket()
	if err != nil {
		return err
	}
	defer listener.Close()
	publisher, err := shim.NewPublisher(os.Getenv("TTRPC_ADDRESS"))
	if err != nil {
		return fmt.Errorf("connect to containerd: %w", err)
	}
	service, err := ateom.New(ctx, publisher, sd)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		return fmt.Errorf("create server: %w", err)
	}
	if err := service.RegisterTTRPC(server); err != nil {
		return fmt.Errorf("register services: %w", err)
	}
	obey(ctx, sd.Shutdown)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ctx, listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the shim's socket: %w", err)
	case <-sd.Done():
	}
	// Nobody reaches this shim any more, and another of the same name may take its place.
	if err := hangUp(ctx, server); err != nil {
		return fmt.Errorf("close the shim's socket: %w", err)
	}
	service.FinishRemovals()
	if err := sd.Err(); !errors.Is(err, shutdown.ErrShutdown) {
		return fmt.Errorf("end the shim: %w", err)
	}
	return nil
}

// hangUp closes the server. A verb that the last Delete has ended is answered first, in a
// bounded time.
func hangUp(ctx context.Context, server *ttrpc.Server) error {
	if ateom.Answers() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
		defer cancel()
		_ = server.Shutdown(ctx) // what it leaves, Close ends
	}
	return server.Close()
}

// socket returns the one that the start action has bound.
func socket() (net.Listener, error) {
	f := os.NewFile(socketFD, "socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take the shim's socket over: %w", err)
	}
	return l, nil
}
