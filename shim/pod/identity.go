// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import "github.com/opencontainers/runtime-spec/specs-go"

// Annotations that containerd's CRI plugin sets (its package annotations).
const (
	annotationNamespace = "io.kubernetes.cri.sandbox-namespace"
	annotationName      = "io.kubernetes.cri.sandbox-name"
	annotationUID       = "io.kubernetes.cri.sandbox-uid"
)

// An Identity says which pod a container belongs to.
type Identity struct {
	Namespace, Name, UID string
}

// Identify returns the pod of a container; the zero value if it has none.
func Identify(spec *specs.Spec) Identity {
	return Identity{
		Namespace: spec.Annotations[annotationNamespace],
		Name:      spec.Annotations[annotationName],
		UID:       spec.Annotations[annotationUID],
	}
}
