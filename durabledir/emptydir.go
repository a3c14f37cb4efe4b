// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// VolumesAnnotation is the key whose value ParseVolumes reads.
const VolumesAnnotation = "ateom.dev/durable-volumes"

// ParseVolumes reads the value of the annotation: the names of emptyDir volumes
// of the pod, separated by commas. Every error is a *FieldError.
func ParseVolumes(annotation string) ([]string, error) {
	if strings.TrimSpace(annotation) == "" {
		return nil, nil
	}
	names := strings.Split(annotation, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		switch {
		case !isDNSLabel(names[i]):
			return nil, fieldf("durable-volumes", "must be names of emptyDir volumes separated by commas, got %q", name)
		case slices.Contains(names[:i], names[i]):
			return nil, fieldf("durable-volumes", "%q occurs twice", names[i])
		}
	}
	return names, nil
}

// An EmptyDir is an emptyDir volume of a pod, as one container mounts it.
type EmptyDir struct {
	Name string
	// Path is the volume's directory on the host, which kubelet made and owns.
	Path      string
	MountPath string
	ReadOnly  bool
}

// EmptyDirs finds the named volumes among the OCI mounts of one container, by
// the host paths that kubelet gives them:
//
//	/var/lib/kubelet/pods/<uid>/volumes/kubernetes.io~empty-dir/<name>
//
// A container need not mount all of a pod's volumes, so what is not found is
// for the caller to miss. A mount of a sub-path is not the volume.
func EmptyDirs(names []string, mounts []specs.Mount) []EmptyDir {
	var found []EmptyDir
	for _, m := range mounts {
		dir, name := path.Split(m.Source)
		if !isBind(m) || !path.IsAbs(m.Source) || path.Clean(m.Source) != m.Source || path.Base(dir) != "kubernetes.io~empty-dir" {
			continue
		}
		if slices.Contains(names, name) {
			found = append(found, EmptyDir{
				Name: name, Path: m.Source, MountPath: path.Clean("/" + m.Destination), ReadOnly: slices.Contains(m.Options, "ro"),
			})
		}
	}
	return found
}
