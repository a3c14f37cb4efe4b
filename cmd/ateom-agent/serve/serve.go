// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/cmd/ateom-agent/metrics"
	"github.com/ateom/ateom/cmd/ateom-agent/traces"
	"github.com/ateom/ateom/cmd/ateom-agent/verbs"
	"github.com/ateom/ateom/cmd/wire"
	"github.com/ateom/ateom/shim/config"
)

// DefaultListen is where Serve listens unless told otherwise: on this machine
// only, since metrics name nobody but say a lot. 9464 is the port that
// OpenTelemetry reserves for what Prometheus scrapes.
const DefaultListen = "127.0.0.1:9464"

// DefaultVerbsListen is where verbs are served. It must be an address that only
// those reach who may: in a pod, its own loopback, where the API server's port
// forwarding ends, which it grants by RBAC.
const DefaultVerbsListen = "127.0.0.1:" + wire.VerbsPort

// Limits of the HTTP server. A scrape reads some kilobytes.
const (
	headerLimit = 5 * time.Second
	answerLimit = 30 * time.Second
	stopLimit   = 5 * time.Second
)

// Options of Serve.
type Options struct {
	// Config is the node's.
	Config *config.Config
	// Listen is HOST:PORT, or unix:///PATH of a socket to be made.
	Listen string
	// Verbs is the path of ctr-ateom, to let those who reach VerbsListen pause,
	// commit and resume pods; empty: nobody may.
	Verbs       string
	VerbsListen string
	// Version of the program, for its own metrics.
	Version string
	// Serving is called with the address when it can be connected to; may be nil.
	Serving func(net.Addr)
}

// Serve serves /metrics and /healthz, and exports spans if the environment
// says where to, until ctx ends.
func Serve(ctx context.Context, o Options) (err error) {
	registry := metrics.NewRegistry(o.Version)
	registry.MustRegister(metrics.NewSandboxes(o.Config.RunDir))
	spans, err := traces.New(ctx, o.Version)
	if err != nil {
		return err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, spans.Close(bounded))
	}()
	f, err := newFollower(o.Config.RunDir, metrics.NewVerbs(registry), spans)
	if err != nil {
		return err
	}
	listener, err := listen(o.Listen)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.run(ctx) })
	run(ctx, g, listener, handler(o.Config.RunDir, registry, f))
	if o.Verbs != "" {
		l, err := listen(o.VerbsListen)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		mux := http.NewServeMux()
		(&verbs.Handler{Program: o.Verbs, DefaultStore: o.Config.DefaultStore}).Register(mux)
		run(ctx, g, l, mux)
	}
	if o.Serving != nil {
		o.Serving(listener.Addr())
	}
	return g.Wait()
}

// run serves a listener until ctx ends.
func run(ctx context.Context, g *errgroup.Group, l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerLimit, WriteTimeout: answerLimit}
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if err := server.Shutdown(bounded); err != nil {
			return errors.Join(fmt.Errorf("stop serving: %w", err), server.Close())
		}
		return nil
	})
}

// handler answers requests.
func handler(runDir string, registry *prometheus.Registry, f *follower) http.Handler {
	mux := http.NewServeMux()
	all := metrics.Handler(registry)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		f.look() // so that a scrape has every verb that ended before it
		all.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := errors.Join(health(runDir), f.failure()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// health says what keeps the agent from seeing the node. A run directory that
// is not there yet is a node that has had no sandbox since it was booted.
func health(runDir string) error {
	if _, err := os.ReadDir(runDir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read run-dir: %w", err)
	}
	return nil
}

// listen opens the address. A socket that a dead agent has left is replaced,
// one that is served is not.
func listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return l, nil
	}
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("listen: want unix:///PATH, got %q: %w", address, errdefs.ErrInvalidArgument)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, unix.EADDRINUSE) {
		if conn, dialErr := net.Dial("unix", path); dialErr == nil {
			conn.Close()
			return nil, fmt.Errorf("listen: %s is served already: %w", address, errdefs.ErrAlreadyExists)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen: remove stale socket: %w", err)
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}
