// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

func TestAPodSleepsAndWakesUpElsewhere(t *testing.T) {
	k := shared.Cluster(t)
	p := agentpod.Run(t, k, "agent", nil)
	service := p.Container(t, "service")
	first := p.Ask(t)
	wantFiles := map[string]string{
		"/home/agent/nonce": first.Nonce, "/scratch/nonce": first.Nonce, "/disk/nonce": first.Nonce,
		"/home/agent/prepared": "run\n", "/scratch/prepared": "in memory\n", "/disk/prepared": "on disk\n", "/var/tmp/marker": "rootfs",
		"/etc/settings/greeting": "hello", "/etc/password/word": "xyzzy", "/etc/about/name": "agent",
	}
	if diff := cmp.Diff(wantFiles, first.Files); diff != "" {
		t.Fatalf("what the service reads (-want +got):\n%s", diff)
	}
	k.Kubectl(t, "exec", "agent", "-c", "redis", "--", "redis-cli", "set", "k", "v")
	oldIP := p.Status(t).Status.PodIP
	first.Counter++
	if diff := cmp.Diff(first, p.AskForwarded(t)); diff != "" {
		t.Errorf("the service behind a forwarded port (-want +got):\n%s", diff)
	}

	full := harness.LastLine(k.Node.Ateom(t, "tasks", "commit", "--scope", "Full", service))
	k.Node.Ateom(t, "tasks", "commit", "--scope", "Data", service)

	awake := p.Memory(t)
	k.Node.Ateom(t, "tasks", "pause", service)
	if asleep := p.Memory(t); asleep > awake/10 {
		t.Errorf("the sandbox used %d bytes and uses %d while it is paused", awake, asleep)
	}
	wantSleepUndisturbed(t, p, service)

	k.Node.Ateom(t, "tasks", "resume", service)
	now := p.AskForwarded(t)
	first.Counter++
	if diff := cmp.Diff(first, now); diff != "" {
		t.Errorf("the service after its sleep (-want +got):\n%s", diff)
	}
	p.WantUndisturbed(t)
	k.Kubectl(t, "delete", "pod", "agent", "--wait")

	wantNoAccess(t, k, full)
	again := agentpod.Run(t, k, "again", map[string]string{"ateom.dev/restore-from": full, "ateom.dev/store": "dir"})
	if ip := again.Status(t).Status.PodIP; ip == oldIP {
		t.Errorf("the new pod has the old one's address %s", ip)
	}
	now = again.Ask(t)
	want := first // the commit was before the sleep
	want.Files["/etc/about/name"] = "again"
	if diff := cmp.Diff(want, now); diff != "" {
		t.Errorf("the service in the new pod (-want +got):\n%s", diff)
	}
	if v := k.Kubectl(t, "exec", "again", "-c", "redis", "--", "redis-cli", "get", "k"); v != "v\n" {
		t.Errorf("redis in the new pod says %q", v)
	}
	again.WantUndisturbed(t)
}

// wantSleepUndisturbed looks at a paused pod while containerd and the kubelet
// are restarted and its probes go on.
func wantSleepUndisturbed(t *testing.T, p *agentpod.Pod, container string) {
	t.Helper()
	p.Node.Restart(t, syscall.SIGTERM)
	p.RestartKubelet(t) // which counts from nought
	cluster.Eventually(t, func() error {
		probes := p.Probes(t)
		// The logger's is an exec, which is refused: kubelet takes no result from
		// one that could not be tried.
		for _, container := range []string{"service", "redis"} {
			// More than it takes to be killed for.
			if n := probes[container]; n < 12 {
				return fmt.Errorf("the liveness of %s was probed %d times", container, n)
			}
		}
		return nil
	})
	p.WantUndisturbed(t)
	if out := p.Node.Ateom(t, "tasks", "status", container); !strings.Contains(out, "paused") {
		t.Errorf("the sandbox is not paused any more: %s", out)
	}
}

// wantNoAccess lets pods try to start from a snapshot that is not theirs, or
// that is of other containers, and looks for the event that says so.
func wantNoAccess(t *testing.T, k *cluster.Cluster, full string) {
	t.Helper()
	for _, c := range []struct{ namespace, store, want string }{
		{"thieves", "dir", "get snapshot " + full + ": not in store"}, // another namespace's
		{"default", "dir", `has no container "app"`},                  // another pod's
		{"default", "dir/thieves", "want the name of a store"},        // another part
		{"default", "file:///srv", "want the name of a store"},
	} {
		k.MakeNamespace(t, c.namespace)
		k.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: thief
  namespace: %s
  annotations: {ateom.dev/restore-from: "%s", ateom.dev/store: "%s"}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 0
  containers: [{name: app, image: "ateom.test/busybox:latest", imagePullPolicy: Never, command: [sleep, "1000"]}]
`, c.namespace, full, c.store))
		k.AwaitWarning(t, c.namespace, "thief", c.want)
		k.Kubectl(t, "delete", "pod", "thief", "-n", c.namespace, "--now", "--wait")
		k.Kubectl(t, "delete", "events", "-n", c.namespace, "--field-selector", "involvedObject.name=thief")
	}
}
