// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command containerd-shim-ateom-v1 is containerd's runtime
// io.containerd.ateom.v1: gVisor sandboxes that can sleep.
package main

import (
	"context"

	"github.com/containerd/containerd/v2/pkg/shim"

	"github.com/ateom/ateom/shim/bootstrap"
	_ "github.com/ateom/ateom/shim/plugin"
)

func main() {
	shim.Run(context.Background(), bootstrap.New("io.containerd.ateom.v1"))
}
