// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// What a container's author chooses about pauses; the first of each is the default.
const (
	// returnSaved: a Pause is answered when the snapshot is durable.
	returnSaved = "Saved"
	// returnFrozen: it is answered when nothing runs any more; the save goes on
	// behind, and a Resume that comes before its end thaws.
	returnFrozen = "Frozen"

	// execAllow: a pause ends exec'd processes.
	execAllow = "Allow"
	// execRefuse: a pause is refused while one runs.
	execRefuse = "Refuse"
	// execWait: a pause waits for their end, up to execLimit.
	execWait = "Wait"

	// pausedRefuse: nothing is exec'd into a paused sandbox.
	pausedRefuse = "Refuse"
	// pausedResume: an exec resumes it first.
	pausedResume = "Resume"
)

// execLimit is how long a Pause waits for exec'd processes: as long as
// Kubernetes gives a pod to end by itself.
const execLimit = 30 * time.Second

// policies are the values of the annotations above, which are written in any case.
var policies = map[string][]string{
	annotationPauseReturn:     {returnSaved, returnFrozen},
	annotationPauseWithExec:   {execAllow, execRefuse, execWait},
	annotationExecWhilePaused: {pausedRefuse, pausedResume},
}

// policy returns the value that an annotation chooses.
func policy(key string, values map[string]string) (string, error) {
	known := policies[key]
	text := values[key]
	if text == "" {
		return known[0], nil
	}
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, text) })
	if i < 0 {
		return "", fmt.Errorf("annotation %s: want %s, got %q: %w", key, strings.Join(known, " or "), text, errdefs.ErrInvalidArgument)
	}
	return known[i], nil
}
