// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// PolicyAnnotation holds a Policy.
const PolicyAnnotation = "ateom.dev/on-not-ready"

// A Policy says what becomes of a sandbox that was brought back and whose
// probes do not succeed.
type Policy string

const (
	// Kill ends it: a paused sandbox is paused as before, a new one has failed.
	Kill Policy = "Kill"
	// Keep lets it run, not ready.
	Keep Policy = "Keep"
)

// ParsePolicy reads the annotation's value; empty is Kill.
func ParsePolicy(text string) (Policy, error) {
	switch p := Policy(text); p {
	case "":
		return Kill, nil
	case Kill, Keep:
		return p, nil
	default:
		return "", fmt.Errorf("%s: want %s or %s, got %q: %w", PolicyAnnotation, Kill, Keep, text, errdefs.ErrInvalidArgument)
	}
}
