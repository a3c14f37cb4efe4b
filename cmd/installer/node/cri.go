// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// runtimeType is what containerd knows our shim by.
const runtimeType = "io.containerd.ateom.v1"

// serveLimit is how long containerd may take to serve again; a busy node's start,
// with many containers to look at, is seconds.
const serveLimit = 90 * time.Second

// A Runtime is one that containerd's CRI plugin knows, in its own words.
type Runtime struct {
	Type string `json:"runtimeType"`
	Path string `json:"runtimePath"`
}

// CRIAt returns a function for Options.CRI, which waits until the CRI plugin at
// containerd's socket (a path as this process sees it) serves. That is later than
// anything else of containerd, and never if the plugin did not load.
func CRIAt(socket string) func(context.Context) (map[string]Runtime, error) {
	return func(ctx context.Context) (map[string]Runtime, error) {
		ctx, cancel := context.WithTimeout(ctx, serveLimit)
		defer cancel()
		conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		for {
			runtimes, err := ask(ctx, criv1.NewRuntimeServiceClient(conn))
			if err == nil || status.Code(err) == codes.Unimplemented {
				return runtimes, err
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return nil, fmt.Errorf("wait for containerd's CRI plugin at %s: %w", socket, errors.Join(ctx.Err(), err))
			}
		}
	}
}

// ask returns the runtimes of a CRI plugin that is ready.
func ask(ctx context.Context, cri criv1.RuntimeServiceClient) (map[string]Runtime, error) {
	s, err := cri.Status(ctx, &criv1.StatusRequest{Verbose: true})
	if err != nil {
		return nil, fmt.Errorf("ask containerd's CRI plugin, which has perhaps not been loaded: %w", err)
	}
	for _, c := range s.GetStatus().GetConditions() {
		if c.Type == criv1.RuntimeReady && !c.Status {
			return nil, fmt.Errorf("containerd's CRI plugin is not ready: %s: %s: %w", c.Reason, c.Message, errdefs.ErrUnavailable)
		}
	}
	var config struct {
		Containerd struct {
			Runtimes map[string]Runtime `json:"runtimes"`
		} `json:"containerd"`
	}
	if err := json.Unmarshal([]byte(s.Info["config"]), &config); err != nil {
		return nil, fmt.Errorf("read the configuration that containerd's CRI plugin has: %w", err)
	}
	return config.Containerd.Runtimes, nil
}

// restart restarts containerd, and returns when it serves Kubernetes again.
func (o *Options) restart(ctx context.Context) error {
	if err := o.Restart(ctx); err != nil {
		return fmt.Errorf("restart containerd: %w", err)
	}
	if _, err := o.CRI(ctx); err != nil {
		return fmt.Errorf("restart containerd: %w", err)
	}
	return nil
}

// wantRuntime returns an error unless containerd's CRI plugin has a shim as our runtime.
func (o *Options) wantRuntime(ctx context.Context, shim string) error {
	runtimes, err := o.CRI(ctx)
	if err != nil {
		return err
	}
	want := Runtime{Type: runtimeType, Path: shim}
	if got, ok := runtimes[handler]; !ok {
		return fmt.Errorf("containerd has the runtimes %q and not %q: does something replace what %s says? %w",
			slices.Sorted(maps.Keys(runtimes)), handler, o.dropInPath(), errdefs.ErrFailedPrecondition)
	} else if got != want {
		return fmt.Errorf("containerd has for %q the runtime %+v and not %+v: does something replace what %s says? %w",
			handler, got, want, o.dropInPath(), errdefs.ErrFailedPrecondition)
	}
	return nil
}
