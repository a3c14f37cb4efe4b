// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// A volume that lives in the sandbox is its containers' together because runsc
// remembers who has it, and a restored runsc remembers nothing (runsc/boot/vfs.go,
// getSharedMount). A container that starts in a sandbox whose memory came back would
// get another, empty volume of that name; one on disk, over the file that backs the
// first one: what the others have there would be gone, and the sandbox with it.

// checkLater refuses a container that comes after the sandbox's memory and has volumes
// that live in it. If no other one runs, the sandbox ends: what is in such volumes is
// nobody's any more, and kubelet makes the sandbox anew, where the container can start.
func (s *Service) checkLater(ctx context.Context, sb *sandbox, c *container) error {
	volumes := sb.sharedBy(c)
	if !sb.cameBack || sb.restoring() || len(volumes) == 0 {
		return nil
	}
	others := len(sb.members())
	if others == 0 {
		log.G(ctx).WithField("sandbox", sb.id).Warn("the sandbox ends, for kubelet to make it anew: none of its containers runs, and none could start with the pod's volumes")
		if err := s.killSandbox(ctx, sb, sb.all()[0]); err != nil {
			return err
		}
	}
	return fmt.Errorf("container %q cannot start in sandbox %s: volumes that came back with the sandbox's memory are only for containers that came back too (%s), and %d of those run; delete the pod, or name the volumes in ateom.dev/durable-volumes: %w",
		c.name, sb.id, strings.Join(volumes, ", "), others, errdefs.ErrFailedPrecondition)
}

// sharedBy are the names of the volumes living in the sandbox that a container has.
func (s *sandbox) sharedBy(c *container) (names []string) {
	for _, m := range c.spec.Mounts {
		for _, d := range s.emptyDirs {
			if d.Path == m.Source && !slices.Contains(names, d.Name) {
				names = append(names, d.Name)
			}
		}
	}
	return names
}
