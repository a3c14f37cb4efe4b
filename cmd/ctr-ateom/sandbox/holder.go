// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/ttrpc"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/sandboxid"
)

// Holds reports whether the sandbox that made a snapshot of the node's local
// store is paused and would be resumed from it. It asks the sandbox's shim,
// which lives without containerd too; no shim, no hold.
func Holds(c *cli.Context, made artifacts.Sandbox, id artifacts.ID) (bool, error) {
	namespace := made.Namespace
	if namespace == "" {
		namespace = namespaces.Default
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(c.Context, namespace), dialTimeout)
	defer cancel()
	addresses, err := candidates(ctx, c.String("shim-address"), c.String("address"), group(ctx, c.String("address"), made.ID))
	if err != nil {
		return false, err
	}
	for _, a := range addresses {
		conn, err := shim.AnonDialer(a, dialTimeout)
		if err != nil {
			continue
		}
		t := ttrpc.NewClient(conn)
		defer t.Close()
		status, err := ateomv1.NewSnapshotsClient(t).Status(ctx, &ateomv1.StatusRequest{Id: made.ID})
		if err != nil {
			continue // another sandbox's shim, or one that is going away
		}
		if status.GetSnapshot().GetId() == string(id) {
			return true, nil
		}
	}
	return false, nil
}

// group asks containerd under which id a sandbox is served; without an answer
// it is the sandbox's own.
func group(ctx context.Context, address, id string) string {
	cl, err := client.New(address, client.WithTimeout(dialTimeout))
	if err != nil {
		return id
	}
	defer cl.Close()
	container, err := cl.LoadContainer(ctx, id)
	if err != nil {
		return id
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		return id
	}
	return sandboxid.Group(id, spec.Annotations)
}
