// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
)

// asSandbox marks a container as the first of a pod, which CRI does. gVisor's
// shim gives no other its streams when it creates it, but a pipe that it reads
// until the sandbox ends.
var asSandbox = map[string]string{"io.kubernetes.cri.container-type": "sandbox"}

// NewUpstream starts a containerd for gVisor's own shim, for rows about what a
// shim costs. It cannot pause into a snapshot, nor commit.
func NewUpstream(ctx context.Context, g *Ground, containerdBinary, shim string) (Peer, error) {
	p := &ateomPeer{name: "upstream", ground: g, dir: filepath.Join(g.Dir, "up"), runtime: "io.containerd.runsc.v1", annotations: asSandbox}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(p.dir, "runsc.toml")
	config := fmt.Sprintf("binary_name = %q\nroot = %q\n", g.Runsc, filepath.Join(p.dir, "runsc"))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p.options = &runtimeoptions.Options{TypeUrl: "io.containerd.runsc.v1.options", ConfigPath: path}
	return p, p.start(ctx, containerdBinary, shim, "")
}
