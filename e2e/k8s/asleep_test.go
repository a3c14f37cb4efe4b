// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
)

// What a pod sleeps in lies on its node, where others could name it: a pod of
// another namespace finds nothing there, and one of its own gets no memory
// without the volumes that belong to it.
func TestWhatAPodSleepsInIsItsOwn(t *testing.T) {
	k := shared.Cluster(t)
	sleeper := begin(t, k, "sleeper")
	app := sleeper.Container(t, "app")
	said := regexp.MustCompile(`(?m)^snapshot (\S+)`).FindStringSubmatch(k.Node.Ateom(t, "tasks", "pause", app))
	if said == nil {
		t.Fatal("pause names no snapshot")
	}
	if found, err := filepath.Glob(filepath.Join(k.Node.Config.StateDir, "snapshots", said[1])); err != nil || len(found) != 1 {
		t.Fatalf("snapshot %s lies in %v, %v", said[1], found, err)
	}

	k.MakeNamespace(t, "thieves")
	k.ApplyIn(t, "thieves", annotated("burglar", map[string]string{"ateom.dev/restore-from": said[1]}))
	k.AwaitWarning(t, "thieves", "burglar", fmt.Sprintf("snapshot %s on this node: not found", said[1]))
	k.Kubectl(t, "delete", "pod", "burglar", "-n", "thieves", "--now", "--wait")

	twin := diary(t, k, "twin", fmt.Sprintf(", ateom.dev/restore-from: %q", said[1]))
	k.AwaitWarning(t, "default", "twin", `volume "home" is the pod's that slept in it`)
	if out := twin.Try(t, "logs", "twin").Stdout; out != "" {
		t.Errorf("the twin has run: %q", out)
	}

	k.Node.Ateom(t, "tasks", "resume", app)
	awaitOutput(t, sleeper, "begins after\n")
	sleeper.WantUndisturbed(t)
}
