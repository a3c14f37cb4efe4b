// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/runsc"
)

// An EmptyDir is an emptyDir volume of a pod that lives inside the sandbox.
type EmptyDir struct {
	Name string
	// Path is the directory that kubelet made for it. Nothing is written there
	// but, for a volume on disk, the file that backs it.
	Path string
	// Memory says that its medium is memory rather than the node's disk.
	Memory bool
	// Size bounds one in memory, in bytes; 0 if nobody told.
	Size int64
}

// EmptyDirs lists the pod's emptyDir volumes, which kubelet has made before it
// asks for a sandbox, but those that durable names: a DurableDir stays on the
// node, where it can be captured without the sandbox. So does a volume that
// holds something already, which would be hidden. What an earlier sandbox of the pod
// has left of itself is no content: it goes.
func EmptyDirs(kubeletDir, uid string, durable []string) ([]EmptyDir, error) {
	if uid == "" || uid != filepath.Base(uid) {
		return nil, nil
	}
	dir := filepath.Join(kubeletDir, "pods", uid, "volumes", "kubernetes.io~empty-dir")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the pod's emptyDir volumes: %w", err)
	}
	var found []EmptyDir
	for _, e := range entries {
		v := EmptyDir{Name: e.Name(), Path: filepath.Join(dir, e.Name())}
		if !e.IsDir() || slices.Contains(durable, v.Name) {
			continue
		}
		if err := runsc.ClearFilestores(v.Path); err != nil {
			return nil, fmt.Errorf("empty emptyDir volume %s: %w", v.Name, err)
		}
		content, err := os.ReadDir(v.Path)
		if err != nil {
			return nil, fmt.Errorf("look into emptyDir volume %s: %w", v.Name, err)
		}
		if len(content) > 0 {
			continue
		}
		var s unix.Statfs_t
		if err := unix.Statfs(v.Path, &s); err != nil {
			return nil, fmt.Errorf("look at emptyDir volume %s: %w", v.Name, err)
		}
		if v.Memory = s.Type == unix.TMPFS_MAGIC; v.Memory {
			v.Size = int64(s.Blocks) * s.Bsize // the volume's sizeLimit, or what the pod may use
		}
		found = append(found, v)
	}
	return found, nil
}

// runsc's hints on mounts (runsc/boot/mount_hints.go), which it reads from the
// root container's annotations.
const (
	hintPrefix = "dev.gvisor.spec.mount."
	tmpfs      = "tmpfs"
	shmPath    = "/dev/shm"
	// shmName is a hint's name that no volume has: a volume's is a DNS label.
	shmName = "ateom_dev_shm"
)

// anchors is where the sandbox's root container has the volumes that the disk backs.
const anchors = "/ateom/volumes"

// Anchor mounts the volumes that the node's disk backs into the sandbox's root
// container. runsc names what backs such a volume by the container that has it
// first, and by its place there, and finds it again by those names when it restores
// (runsc/boot/vfs.go): the root container is the one that is always there, and first.
// Another one may have ended by then, as init containers have.
func Anchor(root *specs.Spec, dirs []EmptyDir) {
	for _, d := range dirs {
		if !d.Memory {
			root.Mounts = append(root.Mounts, specs.Mount{
				Destination: path.Join(anchors, d.Name), Type: "bind", Source: d.Path, Options: []string{"rbind", "rw"},
			})
		}
	}
}

// Hint tells runsc, in the annotations of the sandbox's root container, which
// volumes are file systems of the sandbox's own. A hint of type tmpfs on a bind
// mount means one that the node's disk backs.
func Hint(root *specs.Spec, dirs []EmptyDir) {
	for _, d := range dirs {
		options := "rw"
		if d.Size > 0 {
			options += ",size=" + strconv.FormatInt(d.Size, 10)
		}
		hint(root, d.Name, d.Path, options)
	}
	for _, m := range root.Mounts {
		if m.Destination == shmPath && m.Type == "bind" {
			hint(root, shmName, m.Source, "rw")
		}
	}
}

func hint(root *specs.Spec, name, source, options string) {
	for key, value := range map[string]string{"source": source, "type": tmpfs, "share": "pod", "options": options} {
		root.Annotations[hintPrefix+name+"."+key] = value
	}
}

// Retype makes a container's mounts of volumes in memory what the hints say of
// them: runsc finds the shared file system by the mount's source.
func Retype(spec *specs.Spec, dirs []EmptyDir) {
	// CRI adds the pod's /dev/shm to the one of the default spec.
	shared := slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == shmPath && m.Type == "bind" })
	spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool {
		return shared && m.Destination == shmPath && m.Type == tmpfs
	})
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		inMemory := slices.ContainsFunc(dirs, func(d EmptyDir) bool { return d.Memory && d.Path == m.Source })
		if m.Type != "bind" || !inMemory && m.Destination != shmPath {
			continue
		}
		m.Type = tmpfs
		m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "bind" || o == "rbind" })
	}
}
