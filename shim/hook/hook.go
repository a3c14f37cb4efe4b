// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hook reads the commands that a container's author wants run in the
// container around a save and after a restore, so that its programs can let go
// of what must not be saved, and replace what must not exist twice.
package hook

import (
	"fmt"
	"strings"
	"time"

	"github.com/ateom/ateom/shim/annotation"
)

// A Moment is when a hook runs. Its text is the annotation that holds the hooks,
// a JSON list of Hook.
type Moment string

const (
	// PreSave is before the sandbox is frozen for a Pause or a Commit.
	PreSave Moment = "ateom.dev/pre-save"
	// PostSave is when the sandbox that was saved runs on: after a Commit, and
	// after a Pause that failed.
	PostSave Moment = "ateom.dev/post-save"
	// PostRestore is when memory came back: after a Resume, or a start from a
	// Full snapshot. Readiness probes follow.
	PostRestore Moment = "ateom.dev/post-restore"
)

// Moments are all of them.
var Moments = []Moment{PreSave, PostSave, PostRestore}

// Name is the moment without the annotation's prefix.
func (m Moment) Name() string { return strings.TrimPrefix(string(m), "ateom.dev/") }

// A Policy says what the failure of a hook means for the verb.
type Policy string

const (
	// Abort fails the verb.
	Abort Policy = "Abort"
	// Ignore leaves it at a line in the log.
	Ignore Policy = "Ignore"
)

// Bounds of what an annotation may say. A sandbox waits for its hooks with a
// verb under way.
const (
	maxHooks       = 64
	defaultTimeout = 10
	maxTimeout     = 600
)

// A Hook is a command that runs in a container, as its user.
type Hook struct {
	// Container is the name of the container; empty is every one that has a
	// program of its own.
	Container      string   `json:"container,omitempty"`
	Command        []string `json:"command"`
	TimeoutSeconds int      `json:"timeoutSeconds,omitempty"`
	OnFailure      Policy   `json:"onFailure,omitempty"`
}

// Parse reads the annotation of a moment; empty means no hooks. Errors name the
// field and are errdefs.ErrInvalidArgument.
func Parse(m Moment, text string) ([]Hook, error) {
	return annotation.List(string(m), text, maxHooks, func(h *Hook) error { return h.complete(m) })
}

func (h *Hook) complete(m Moment) error {
	if len(h.Command) == 0 || h.Command[0] == "" {
		return fmt.Errorf(".command: missing")
	}
	if h.TimeoutSeconds < 0 || h.TimeoutSeconds > maxTimeout {
		return fmt.Errorf(".timeoutSeconds: want 0 (its default) to %d, got %d", maxTimeout, h.TimeoutSeconds)
	}
	if h.TimeoutSeconds == 0 {
		h.TimeoutSeconds = defaultTimeout
	}
	switch {
	case h.OnFailure == "" && m == PostSave:
		h.OnFailure = Ignore
	case h.OnFailure == "":
		h.OnFailure = Abort
	case h.OnFailure == Abort && m == PostSave:
		return fmt.Errorf(".onFailure: the save is over, so that there is nothing to abort; want %s", Ignore)
	case h.OnFailure != Abort && h.OnFailure != Ignore:
		return fmt.Errorf(".onFailure: want %s or %s, got %q", Abort, Ignore, h.OnFailure)
	}
	return nil
}

// Timeout is how long the command may take.
func (h *Hook) Timeout() time.Duration { return time.Duration(h.TimeoutSeconds) * time.Second }
