// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/pod"
)

// versions are those of a pod's volumes that kubelet replaces whole.
func (s *sandbox) versions(spec *specs.Spec) (all []artifacts.Version) {
	if !s.cri {
		return nil
	}
	for _, m := range spec.Mounts {
		if name := pod.Version(m.Source); m.Type == "bind" && name != "" {
			all = append(all, artifacts.Version{Mount: m.Destination, Name: name})
		}
	}
	return all
}

// offerVersions has a container of a snapshot find the files that it had open in
// such volumes. Most have none open: without an offer, they come back all the same.
func (s *sandbox) offerVersions(ctx context.Context, c *container, m *artifacts.Manifest) {
	i := slices.IndexFunc(m.Sandbox.Containers, func(was artifacts.Container) bool { return was.Name == c.name })
	if !s.cri || i < 0 {
		return
	}
	for _, v := range m.Sandbox.Containers[i].Versions {
		volume, mounted := bindSource(c.spec.Mounts, v.Mount)
		if !mounted {
			continue
		}
		if err := pod.Offer(volume, v.Name); err != nil {
			log.G(ctx).WithError(err).WithField("container", c.name).Warn("files that were open in a volume may not be found")
		}
	}
}

// lostFile is what a sandbox says of a file that it cannot open again
// (pkg/sentry/fsimpl/gofer of the pinned gVisor); a mount is called after its container.
var lostFile = regexp.MustCompile(`failed to walk "([^"]+)" of type \S+ in mount "([^":]*):([^"]+)"`)

// adviseOnLost adds to the error of a restore what to do about a file that was
// open and is not there.
func adviseOnLost(err error) error {
	var failed *runsc.Error
	if !errors.As(err, &failed) {
		return err
	}
	for _, message := range failed.Messages {
		if m := lostFile.FindStringSubmatch(message); m != nil {
			return fmt.Errorf("%q in the mount %s of container %q was open when the snapshot was made, and is not there now; "+
				"mount a volume that has it, or close it before the next commit: %w: %w", m[1], m[3], m[2], errdefs.ErrFailedPrecondition, err)
		}
	}
	return err
}
