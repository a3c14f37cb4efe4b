// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ateom/ateom/e2e/bench/peers"
)

// upstreamModule is the module that gVisor's own shim is built from, at the
// commit that runsc is built from.
const upstreamModule = "e2e/bench/upstream"

// newUpstream builds gVisor's own shim and starts a containerd for it.
func newUpstream(ctx context.Context, g *peers.Ground, o options) (peers.Peer, error) {
	if !o.wants(15) {
		return nil, errors.New("only row 15 builds it")
	}
	binary := filepath.Join(g.Dir, "containerd-shim-runsc-v1")
	if err := buildUpstream(ctx, binary); err != nil {
		return nil, err
	}
	return peers.NewUpstream(ctx, g, o.tools.containerd, binary)
}

// The OOM score that gVisor's shim gives itself, and the one that it gets here.
const (
	upstreamScore = "oomScoreMax = -999"
	neutralScore  = "oomScoreMax = 0"
)

// buildUpstream builds gVisor's own shim with one number changed: it insists on
// an OOM score of -999 and does not start where a score may not be lowered,
// for want of CAP_SYS_RESOURCE, as in many virtual machines. The score has
// nothing to do with what the rows measure.
func buildUpstream(ctx context.Context, to string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("build gVisor's shim: %w", err)
		}
	}()
	dir, err := os.MkdirTemp("", "ateom-upstream-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	source, err := upstreamGo(ctx, "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor")
	if err != nil {
		return err
	}
	changed := filepath.Join(dir, "gvisor")
	if err := os.CopyFS(changed, os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		return err
	}
	if err := changeScore(filepath.Join(changed, "pkg/shim/v1/manager.go")); err != nil {
		return err
	}
	// The module's own files with the copy in gVisor's place. Without the paths
	// of the copy in it, the build is found in Go's cache the next time.
	modfile := filepath.Join(dir, "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(upstreamModule, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	if _, err := upstreamGo(ctx, "mod", "edit", "-replace=gvisor.dev/gvisor="+changed, modfile); err != nil {
		return err
	}
	_, err = upstreamGo(ctx, "build", "-modfile", modfile, "-trimpath", "-o", to, "gvisor.dev/gvisor/shim")
	return err
}

// changeScore changes the score in upstream's source, where it must stand once.
func changeScore(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(upstreamScore)); n != 1 {
		return fmt.Errorf("change the OOM score: %s says %q %d times, want once", path, upstreamScore, n)
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(upstreamScore), []byte(neutralScore), 1), 0o600)
}

// upstreamGo runs the go command in the module of gVisor's shim.
func upstreamGo(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = upstreamModule
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var diag bytes.Buffer
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", args[0], err, diag.Bytes())
	}
	return out, nil
}
