// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/cgroup"
	"github.com/ateom/ateom/shim/pod"
	"github.com/ateom/ateom/shim/volumes"
)

// settlePod makes a sandbox that Kubernetes asked for the pod's: in its cgroup,
// with its emptyDir volumes, and with what the node remembers of it.
func (s *sandbox) settlePod(spec *specs.Spec, decl *declaration) (err error) {
	s.cri = underCRI(spec)
	s.cgroup = spec.Linux.CgroupsPath
	s.limits = s.cgroup
	if !s.cri {
		s.ownsCgroup = !cgroup.Exists(s.cgroup)
		return nil
	}
	s.pod = pod.Identify(spec)
	s.cgroup = pod.Cgroup(spec.Linux.CgroupsPath)
	s.limits = cgroup.Slice(s.cgroup) // the pod's own
	spec.Linux.CgroupsPath = s.cgroup
	if s.emptyDirs, err = pod.EmptyDirs(s.cfg.KubeletDir, s.pod.UID, decl.emptyDirs); err != nil {
		return err
	}
	pod.Hint(spec, s.emptyDirs)
	pod.Anchor(spec, s.emptyDirs)
	if s.pod.UID == "" {
		return nil
	}
	if s.ledger, err = pod.OpenLedger(s.cfg.StateDir, s.pod.UID); err != nil {
		return err
	}
	err = pod.ForgetOthers(s.cfg.StateDir, s.cfg.KubeletDir, s.pod.UID, func(id artifacts.ID) error {
		if err := s.local.Remove(id); !errdefs.IsNotFound(err) {
			return err
		}
		return nil
	})
	if err != nil {
		log.L.WithError(err).Warn("remove what pods have left that are gone")
	}
	return nil
}

// memorySizes are the sizes of the volumes in memory by their names.
func memorySizes(dirs []pod.EmptyDir) map[string]int64 {
	sizes := map[string]int64{}
	for _, d := range dirs {
		if d.Size > 0 {
			sizes[d.Name] = d.Size
		}
	}
	return sizes
}

// sizeVolumes gives the volumes in memory the sizes that they had in the snapshot
// whose memory is restored: they come with it, and runsc compares. What kubelet
// gives a volume without a sizeLimit differs from node to node.
func (s *sandbox) sizeVolumes(spec *specs.Spec) {
	if !s.cri || !s.restoring() {
		return
	}
	var sizes map[string]int64
	if p := s.origin.manifest.Sandbox.Pod; p != nil {
		sizes = p.Memory
	}
	for i := range s.emptyDirs {
		s.emptyDirs[i].Size = sizes[s.emptyDirs[i].Name]
	}
	pod.Hint(spec, s.emptyDirs)
}

// checkPodVolumes refuses a volume that would lie in the sandbox and on the
// node at the same time.
func (s *sandbox) checkPodVolumes(c *container) error {
	for _, d := range durabledir.ForContainer(c.decl.volumes, c.name) {
		source, _ := bindSource(c.spec.Mounts, d.MountPath)
		for _, e := range s.emptyDirs {
			if e.Path == source {
				return fmt.Errorf("annotation %s: %s is the pod's emptyDir volume %q: name it in %s instead: %w",
					durabledir.Annotation, d.MountPath, e.Name, durabledir.VolumesAnnotation, errdefs.ErrInvalidArgument)
			}
		}
	}
	return nil
}

// noteBegun remembers that the pod has started from its origin. If that was its
// own sleep, the snapshot goes the way of any that a sandbox was resumed from.
func (s *sandbox) noteBegun() error {
	if s.ledger == nil {
		return nil
	}
	if s.origin.slept != nil {
		s.mu.Lock()
		s.paused = s.origin.slept
		s.mu.Unlock()
	}
	s.ledger.Begun = true
	if err := errors.Join(s.ledger.Write(), s.noteAsleep("")); err != nil {
		return err
	}
	return s.keepVolumes()
}

// noteAsleep remembers which snapshot the pod sleeps in, "" if it is awake.
func (s *sandbox) noteAsleep(id artifacts.ID) error {
	if s.ledger == nil || s.ledger.Paused == id {
		return nil
	}
	return s.ledger.SetPaused(id)
}

// noteAwake remembers that the sandbox runs which slept in a snapshot. After an
// error it is as if it slept on.
func (s *sandbox) noteAwake(slept artifacts.ID) error {
	err := s.noteAsleep("")
	if err == nil {
		err = volumes.NoteRunning(s.volumesDir)
	}
	if err == nil {
		return nil
	}
	err = errors.Join(err, volumes.NotePaused(s.volumesDir, slept))
	if s.ledger != nil {
		err = errors.Join(err, s.ledger.SetPaused(slept))
	}
	return err
}

// mayRead refuses a pod a snapshot of the node's own store that another
// namespace has made. The node wrote its manifest itself.
func (s *sandbox) mayRead(m *artifacts.Manifest) error {
	if s.cri && (m.Sandbox.Pod == nil || m.Sandbox.Pod.Namespace != s.pod.Namespace) {
		return fmt.Errorf("snapshot %s on this node: %w", m.ID, errdefs.ErrNotFound) // not even that it is there
	}
	return nil
}
