// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// ConnectionsAnnotation holds a Connections.
const ConnectionsAnnotation = "ateom.dev/connections"

// Connections says what becomes of established TCP connections to the outside
// when a sandbox is paused.
type Connections string

const (
	// Close ends them: the peers are told at once, and the program when it is back.
	Close Connections = "Close"
	// Keep lets them go on when the sandbox is back at the same addresses. The
	// peers are told nothing meanwhile.
	Keep Connections = "Keep"
)

// ParseConnections reads the annotation's value; empty is Close.
func ParseConnections(text string) (Connections, error) {
	switch c := Connections(text); c {
	case "":
		return Close, nil
	case Close, Keep:
		return c, nil
	default:
		return "", fmt.Errorf("%s: want %s or %s, got %q: %w", ConnectionsAnnotation, Close, Keep, text, errdefs.ErrInvalidArgument)
	}
}
