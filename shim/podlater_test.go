// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/shim/pod"
)

// Who comes after the sandbox's memory cannot have what lives in it.
func TestAContainerThatComesLaterHasNoVolumeOfTheSandbox(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	b.asPod(t)
	b.sb.emptyDirs = []pod.EmptyDir{{Name: "scratch", Path: "/k/scratch"}, {Name: "shm", Path: "/k/shm", Memory: true}}
	with := func(sources ...string) *container {
		c := &container{id: "late", name: "late", spec: &specs.Spec{}}
		for _, source := range sources {
			c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: source, Type: "bind", Source: source})
		}
		return c
	}
	check := func(c *container) error { return b.checkLater(t.Context(), b.sb, c) }
	if err := check(with("/k/scratch")); err != nil {
		t.Errorf("in a sandbox that was never restored: %v", err)
	}
	b.sb.cameBack = true
	for _, volumes := range [][]string{nil, {"/k/other"}} {
		if err := check(with(volumes...)); err != nil {
			t.Errorf("a container with %q: %v", volumes, err)
		}
	}
	for _, source := range []string{"/k/scratch", "/k/shm"} {
		err := check(with("/k/other", source))
		if name := strings.TrimPrefix(source, "/k/"); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "("+name+")") {
			t.Errorf("a container with %s: %v, want it refused and named", source, err)
		}
	}
	if l := b.sb.currentLife(); l == nil || b.sb.machine.state() != Running {
		t.Errorf("the sandbox is %s, though another container runs", b.sb.machine.state())
	}
}
