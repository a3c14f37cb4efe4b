// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// A debugger that kubectl adds to a pod shares its sleep, and a snapshot that is
// made after its end does without it.
func TestADebuggerJoinsAPodAndLeavesIt(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, strings.ReplaceAll(settings, "@DATA@", "greeting: abcdefgh"))
	p := hold(t, k, "patient", "")
	awaitOutput(t, p, "abcd\n")
	app := p.Container(t, "app")
	k.Kubectl(t, "debug", "patient", "--container=debugger", "--image=ateom.test/busybox:latest", "--image-pull-policy=Never", "--profile=general",
		"--", "sh", "-c", "while [ ! -e /tmp/go ]; do echo looking; sleep 0.1; done; exit 3")
	looks := func() int { return strings.Count(p.Try(t, "logs", "patient", "-c", "debugger").Stdout, "looking\n") }
	awaitLooks := func(more int) {
		t.Helper()
		cluster.Eventually(t, func() error {
			if n := looks(); n < more {
				return fmt.Errorf("the debugger has looked %d times, want %d\n%s", n, more, p.Try(t, "describe", "pod", "patient").Stdout)
			}
			return nil
		})
	}
	awaitLooks(3)

	k.Node.Ateom(t, "tasks", "pause", app)
	slept := looks()
	k.Node.Ateom(t, "tasks", "resume", app)
	awaitLooks(slept + 3)
	p.WantUndisturbed(t)

	p.Try(t, "exec", "patient", "-c", "debugger", "--", "touch", "/tmp/go") // which may end before it is answered
	k.Await(t, "wait", "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=3", "pod/patient")
	id := harness.LastLine(k.Node.Ateom(t, "tasks", "commit", "--scope", "Full", app))
	k.Kubectl(t, "delete", "pod", "patient", "--wait")
	heir := hold(t, k, "recovered", fmt.Sprintf("ateom.dev/restore-from: %q, ateom.dev/store: dir", id))
	k.Await(t, "wait", "--for=condition=Ready", "pod/recovered")
	k.Kubectl(t, "exec", "recovered", "--", "touch", "/tmp/go")
	awaitOutput(t, heir, "efgh\nabcdefgh\n")
}
