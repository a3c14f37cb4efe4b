// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"gvisor.dev/gvisor/pkg/cpuid"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/runsc"
)

// manifest describes the sandbox as it is now, without parts. images are image
// digests by container id that the caller knows better.
func (s *sandbox) manifest(ctx context.Context, id artifacts.ID, scope artifacts.Scope, images map[string]string) (*artifacts.Manifest, error) {
	m := &artifacts.Manifest{
		Format:  artifacts.FormatVersion,
		ID:      id,
		Created: id.Time().UTC(),
		Scope:   scope,
		Sandbox: artifacts.Sandbox{ID: s.id, Namespace: s.namespace},
	}
	for _, c := range s.live() {
		ref, digest := imageOf(c.spec)
		if d := images[c.id]; d != "" {
			digest = d
		}
		m.Sandbox.Containers = append(m.Sandbox.Containers, artifacts.Container{
			ID: c.id, Name: c.spec.Annotations[annotationContainerName], Image: ref, ImageDigest: digest, Args: c.spec.Process.Args,
			Mounts: mountPoints(c.spec), Versions: s.versions(c.spec),
		})
	}
	m.Sandbox.Completed = s.completedNames()
	if s.cri {
		m.Sandbox.Pod = &artifacts.Pod{Namespace: s.pod.Namespace, Name: s.pod.Name, UID: s.pod.UID, Memory: memorySizes(s.emptyDirs)}
	}
	if scope != artifacts.Full {
		return m, nil
	}
	build, err := s.madeBy(ctx)
	if err != nil {
		return nil, err
	}
	m.Runtime = &artifacts.Runtime{Name: "runsc", Version: build.Version, SHA256: build.SHA256}
	m.Machine = thisMachine()
	return m, nil
}

// thisMachine describes what a Full snapshot made here needs to find again.
// CPU features are those that gVisor compares when it restores.
func thisMachine() *artifacts.Machine {
	cpuid.Initialize()
	features := strings.Fields(cpuid.HostFeatureSet().FlagString())
	slices.Sort(features)
	return &artifacts.Machine{Arch: runtime.GOARCH, CPUFeatures: features, PageSize: os.Getpagesize()}
}

// checkCompatible refuses a Full snapshot that this node or this container
// could not go on with, before any page is moved. If it could, the sandbox's
// runsc is the build that made the snapshot afterwards.
func (s *sandbox) checkCompatible(ctx context.Context, m *artifacts.Manifest, image string) error {
	if len(m.Sandbox.Containers) > 0 {
		if was := m.Sandbox.Containers[0].ImageDigest; was != "" && image != "" && was != image {
			return incompatible(m, "it was made with image %s, this container has %s", was, image)
		}
	}
	if m.Scope != artifacts.Full {
		// A cold boot: any build will do, and which it is is noted when it is used.
		s.build = runsc.Identity{}
		return nil
	}
	if err := checkMachine(m); err != nil {
		return err
	}
	if err := s.useBuild(ctx, runsc.Identity{Version: m.Runtime.Version, SHA256: m.Runtime.SHA256}); err != nil {
		return fmt.Errorf("snapshot %s cannot be used here: %w", m.ID, err)
	}
	return nil
}

// checkMachine refuses a Full snapshot of a machine that is not like this one.
func checkMachine(m *artifacts.Manifest) error {
	switch here, was := thisMachine(), m.Machine; {
	case m.Runtime == nil || was == nil:
		return incompatible(m, "its manifest does not say which runsc and machine it needs")
	case was.Arch != here.Arch:
		return incompatible(m, "it was made on %s, this node is %s", was.Arch, here.Arch)
	case was.PageSize != here.PageSize:
		return incompatible(m, "it was made with pages of %d bytes, this node has %d", was.PageSize, here.PageSize)
	default:
		missing := slices.DeleteFunc(slices.Clone(was.CPUFeatures), func(f string) bool {
			return slices.Contains(here.CPUFeatures, f)
		})
		if len(missing) > 0 {
			return incompatible(m, "this node's CPU lacks %s", strings.Join(missing, ", "))
		}
	}
	return nil
}

func incompatible(m *artifacts.Manifest, format string, args ...any) error {
	return fmt.Errorf("snapshot %s cannot be used here: %s: %w", m.ID, fmt.Sprintf(format, args...), errdefs.ErrFailedPrecondition)
}
