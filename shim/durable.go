// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/volumes"
)

// checkVolumes refuses what the container's declarations must not say.
func (s *sandbox) checkVolumes(c *container) error {
	if err := durabledir.Validate(c.decl.volumes, nil); err != nil {
		return err
	}
	if err := durabledir.Validate(durabledir.ForContainer(c.decl.volumes, c.name), c.spec.Mounts); err != nil {
		return err
	}
	return s.checkPodVolumes(c)
}

// settleVolumes makes the place for the volumes of a new sandbox. What lies
// there was left by a crash: it is set aside, or, where the sandbox starts from
// the pause that it belongs to, taken back.
func (s *sandbox) settleVolumes(undo *undoList) error {
	if err := volumes.SetAside(s.cfg.StateDir, s.volumesDir); err != nil {
		return err
	}
	o := s.origin
	if o == nil || !o.local {
		undo.add("remove volumes", func(context.Context) error { return s.removeVolumes() })
		return nil
	}
	if o.slept != nil {
		// Nobody cleaned up after a reboot: they are where the lost sandbox had them.
		lost := volumes.Dir(s.cfg.StateDir, s.namespace, o.manifest.Sandbox.ID)
		if err := volumes.SetAside(s.cfg.StateDir, lost); err != nil {
			return err
		}
	}
	hold, err := volumes.TakeBack(s.cfg.StateDir, s.volumesDir, o.manifest.ID)
	if err != nil {
		return err
	}
	s.volumesHold, o.volumesPresent, o.lent = hold, hold != nil, hold != nil
	undo.add("set volumes aside again", func(context.Context) error { return s.setVolumesAside() })
	return nil
}

// holdVolumes makes the directory of the DurableDirs that the shim provides, and keeps
// everybody else from moving it.
func (s *sandbox) holdVolumes() (err error) {
	if s.volumesHold == nil {
		s.volumesHold, err = volumes.Make(s.volumesDir)
	}
	return err
}

// setVolumesAside gives up the DurableDirs, which are a snapshot's still.
func (s *sandbox) setVolumesAside() error {
	if hold := s.volumesHold; hold != nil {
		s.volumesHold = nil
		if err := hold.Leave(); err != nil {
			return err
		}
	}
	return volumes.SetAside(s.cfg.StateDir, s.volumesDir)
}

// removeVolumes gives up the DurableDirs, which nobody wants any more. They are held until
// the last of their bytes is gone.
func (s *sandbox) removeVolumes() error {
	hold := s.volumesHold
	if hold == nil {
		return nil // there are none
	}
	s.volumesHold = nil
	return s.outlive(func() error { return errors.Join(s.local.Discard(s.volumesDir), hold.Leave()) })
}

// keepVolumes notes that the sandbox runs, and that the DurableDirs go on with it and
// not with the snapshot that it has started from.
func (s *sandbox) keepVolumes() error {
	if !s.origin.lent {
		return nil
	}
	if err := volumes.NoteRunning(s.volumesDir); err != nil {
		return err
	}
	s.origin.lent = false
	return nil
}

// dropVolumes removes the DurableDirs that the shim provided. Those that are a snapshot's
// still wait for the next sandbox that starts from it.
func (s *sandbox) dropVolumes(o *origin) error {
	if o != nil && o.lent {
		return s.setVolumesAside()
	}
	return s.removeVolumes()
}

// provideVolumes makes the host directory of every DurableDir that the
// container declares and mounts it there. A bind mount that is already at the
// declared path is taken over: its source is the volume. It returns the volumes
// that no container of the sandbox had before, also with an error.
func (s *sandbox) provideVolumes(c *container) (fresh []job.Volume, err error) {
	add := func(v job.Volume) error {
		isNew, err := s.addVolume(v)
		if isNew {
			fresh = append(fresh, v)
		}
		if isNew && err == nil && (s.origin == nil || s.origin.local) {
			err = durabledir.CheckWhole(v.Path) // nobody will fill it
		}
		return err
	}
	for _, e := range durabledir.EmptyDirs(c.decl.emptyDirs, c.spec.Mounts) {
		if o := s.origin; o != nil && o.local && o.slept == nil {
			return fresh, fmt.Errorf("start from snapshot %s: volume %q is the pod's that slept in it, and in no snapshot of this node; start from a committed snapshot: %w",
				o.manifest.ID, e.Name, errdefs.ErrFailedPrecondition)
		}
		if err := add(job.Volume{Name: e.Name, Path: e.Path}); err != nil {
			return fresh, err
		}
	}
	decls := durabledir.ForContainer(c.decl.volumes, c.name)
	for _, d := range decls {
		host, mounted := bindSource(c.spec.Mounts, d.MountPath)
		if !mounted {
			if o := s.origin; o != nil && o.local && !o.volumesPresent {
				return fresh, fmt.Errorf("start from snapshot %s: volume %q went with its task and is not on this node any more; start from a committed snapshot: %w",
					o.manifest.ID, d.Name, errdefs.ErrFailedPrecondition)
			}
			host = filepath.Join(s.volumesDir, d.Name)
			if err := s.holdVolumes(); err != nil {
				return fresh, err
			}
			if err := durabledir.Prepare(host, d); err != nil {
				return fresh, err
			}
			c.spec.Mounts = append(c.spec.Mounts, bind(host, d))
		}
		if err := add(job.Volume{Name: d.Name, Path: host, SizeLimit: int64(d.SizeLimit)}); err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}

// addVolume notes where a volume lies; two containers must mean the same place.
func (s *sandbox) addVolume(v job.Volume) (isNew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	other, ok := s.volumes[v.Name]
	if ok && other.Path != v.Path {
		return false, fmt.Errorf("volume %q lies in two places, %s and %s: %w", v.Name, other.Path, v.Path, errdefs.ErrInvalidArgument)
	}
	s.volumes[v.Name] = v
	return !ok, nil
}

// forgetVolumes takes back what provideVolumes has noted for a container that could not be
// made: the next one that has them must fill them, or be refused them.
func (s *sandbox) forgetVolumes(fresh []job.Volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range fresh {
		delete(s.volumes, v.Name)
	}
}

// volumeList returns the sandbox's volumes for a job, in the order of their names.
func (s *sandbox) volumeList() []job.Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.volumes), func(a, b job.Volume) int { return strings.Compare(a.Name, b.Name) })
}

// syncVolumes makes what was written to the volumes so far survive a power cut.
func syncVolumes(volumes []job.Volume) error {
	for _, v := range volumes {
		f, err := os.Open(v.Path)
		if err != nil {
			return fmt.Errorf("sync volume %q: %w", v.Name, err)
		}
		err = unix.Syncfs(int(f.Fd()))
		f.Close()
		if err != nil {
			return fmt.Errorf("sync volume %q: %w", v.Name, err)
		}
	}
	return nil
}

// bindSource returns the source of the bind mount at path.
func bindSource(mounts []specs.Mount, path string) (string, bool) {
	for _, m := range mounts {
		if filepath.Clean(m.Destination) == path && m.Type == "bind" {
			return m.Source, true
		}
	}
	return "", false
}

// bind is the mount of a volume that the shim provides.
func bind(host string, d durabledir.Declaration) specs.Mount {
	mode := "rw"
	if d.ReadOnly {
		mode = "ro"
	}
	return specs.Mount{Destination: d.MountPath, Type: "bind", Source: host, Options: []string{"rbind", mode, "nodev", "nosuid"}}
}
