// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin registers the shim's services with containerd's shim library.
package plugin

import (
	"context"
	"os"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	ateom "github.com/ateom/ateom/shim"
	"github.com/ateom/ateom/shim/sandboxid"
)

func init() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			sd, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			if address := os.Getenv(sandboxid.SocketEnv); address != "" {
				sd.(shutdown.Service).RegisterCallback(func(context.Context) error { return shim.RemoveSocket(address) })
			}
			return ateom.New(ic.Context, publisher.(shim.Publisher), sd.(shutdown.Service))
		},
	})
}
