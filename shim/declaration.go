// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/readiness"
)

// Annotations that a container's author may set.
const (
	annotationPrefix = "ateom.dev/"

	annotationOnPause     = "ateom.dev/on-pause"
	annotationOnCommit    = "ateom.dev/on-commit"
	annotationStore       = "ateom.dev/store"
	annotationRestoreFrom = "ateom.dev/restore-from"
	annotationImage       = "ateom.dev/image"
	annotationImageDigest = "ateom.dev/image-digest"
)

// annotations lists every key with our prefix that means something.
var annotations = map[string]bool{
	annotationOnPause: true, annotationOnCommit: true, annotationStore: true, annotationRestoreFrom: true,
	annotationImage: true, annotationImageDigest: true, durabledir.Annotation: true, readiness.Annotation: true,
}

// A declaration is what a container's annotations ask for, checked.
type declaration struct {
	volumes     []durabledir.Declaration
	onPause     artifacts.Scope
	onCommit    artifacts.Scope
	probes      []readiness.Probe
	store       string // a name; empty is the node's default
	restoreFrom artifacts.ID
}

// declare reads the annotations. Its errors name the annotation and field and
// are errdefs.ErrInvalidArgument.
func declare(values map[string]string) (*declaration, error) {
	for key := range values {
		if strings.HasPrefix(key, annotationPrefix) && !annotations[key] {
			return nil, fmt.Errorf("annotation %s: there is no such setting: %w", key, errdefs.ErrInvalidArgument)
		}
	}
	d := &declaration{store: values[annotationStore]}
	var err error
	if text := values[durabledir.Annotation]; text != "" {
		if d.volumes, err = durabledir.Parse(text); err != nil {
			return nil, fmt.Errorf("annotation %s: %w", durabledir.Annotation, err)
		}
	}
	if d.onPause, d.onCommit, err = durabledir.ParseScopes(values[annotationOnPause], values[annotationOnCommit]); err != nil {
		return nil, fmt.Errorf("annotations %s and %s: %w", annotationOnPause, annotationOnCommit, err)
	}
	if d.probes, err = readiness.Parse(values[readiness.Annotation]); err != nil {
		return nil, fmt.Errorf("annotation %w", err)
	}
	if strings.ContainsAny(d.store, ":/?") {
		return nil, fmt.Errorf("annotation %s: want the name of a store in the node's configuration, got %q: %w", annotationStore, d.store, errdefs.ErrInvalidArgument)
	}
	if text := values[annotationRestoreFrom]; text != "" {
		if d.restoreFrom, err = artifacts.ParseID(text); err != nil {
			return nil, fmt.Errorf("annotation %s: %w: %w", annotationRestoreFrom, err, errdefs.ErrInvalidArgument)
		}
	}
	return d, nil
}
