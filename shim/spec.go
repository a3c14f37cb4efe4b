// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/shim/annotation"
	"github.com/ateom/ateom/shim/replace"
	"github.com/ateom/ateom/shim/sandboxid"
)

// annotationContainerName is what runsc tells the containers of a sandbox apart by.
const annotationContainerName = "io.kubernetes.cri.container-name"

// maxSpec bounds a bundle's config.json.
const maxSpec = 8 << 20

// readSpec reads the bundle's config.json.
func readSpec(bundle string) (*specs.Spec, error) {
	path := filepath.Join(bundle, "config.json")
	if fi, err := os.Stat(path); err == nil && fi.Size() > maxSpec {
		return nil, fmt.Errorf("read %s: %d bytes are more than %d: %w", path, fi.Size(), maxSpec, errdefs.ErrInvalidArgument)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", path, err, errdefs.ErrInvalidArgument)
	}
	if spec.Process == nil || spec.Root == nil {
		return nil, fmt.Errorf("read %s: it has no process or no root: %w", path, errdefs.ErrInvalidArgument)
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	if spec.Annotations == nil {
		spec.Annotations = map[string]string{}
	}
	return &spec, nil
}

// writeSpec replaces the bundle's config.json with what runsc is to know of spec.
func writeSpec(bundle string, spec *specs.Spec) error {
	forRunsc := *spec
	forRunsc.Annotations = annotation.ForRunsc(spec.Annotations)
	b, err := json.Marshal(&forRunsc)
	if err != nil {
		return fmt.Errorf("encode bundle: %w", err)
	}
	if err := replace.File(filepath.Join(bundle, "config.json"), b, 0o600); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// place makes spec what runsc wants of a container of the sandbox whose root
// container is root: an absolute root file system, and the annotations that
// say who belongs to whom.
func place(spec *specs.Spec, id, root, rootfs string) {
	spec.Root.Path = rootfs
	if id == root {
		if spec.Annotations[sandboxid.GroupAnnotation] != "" {
			spec.Annotations[sandboxid.CRIContainerType] = sandboxid.TypeSandbox
		}
		return
	}
	spec.Annotations[sandboxid.CRIContainerType] = sandboxid.TypeContainer
	spec.Annotations[sandboxid.CRISandboxID] = root
	if spec.Annotations[annotationContainerName] == "" {
		spec.Annotations[annotationContainerName] = id
	}
}

// underCRI says whether Kubernetes, rather than a user of containerd, made the container.
func underCRI(spec *specs.Spec) bool {
	return spec.Annotations[sandboxid.CRISandboxID] != "" && spec.Annotations[sandboxid.GroupAnnotation] == ""
}

// netns returns the spec's network namespace, or nil if it uses the host's.
func netns(spec *specs.Spec) *specs.LinuxNamespace {
	for i := range spec.Linux.Namespaces {
		if ns := &spec.Linux.Namespaces[i]; ns.Type == specs.NetworkNamespace {
			return ns
		}
	}
	return nil
}

// containerName returns the name that probes and volumes refer to.
func containerName(spec *specs.Spec, id string) string {
	if name := spec.Annotations[annotationContainerName]; name != "" {
		return name
	}
	return id
}

// imageOf returns the image reference and digest that the annotations tell.
func imageOf(spec *specs.Spec) (ref, digest string) {
	ref = spec.Annotations[annotationImage]
	if ref == "" {
		ref = spec.Annotations["io.kubernetes.cri.image-name"]
	}
	digest = spec.Annotations[annotationImageDigest]
	if _, d, ok := strings.Cut(ref, "@"); ok && digest == "" {
		digest = d
	}
	return ref, digest
}
