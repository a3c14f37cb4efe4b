// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command containerd-shim-ateom-v1 is containerd's runtime
// io.containerd.ateom.v1: gVisor sandboxes that can sleep.
package main

import (
	"os"

	"github.com/ateom/ateom/shim/bootstrap"
	"github.com/ateom/ateom/shim/serve"
)

func main() { os.Exit(bootstrap.Main("io.containerd.ateom.v1", serve.Serve)) }
