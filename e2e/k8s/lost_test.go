// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// A paused pod whose sandbox is lost is brought back by kubelet, and goes on from
// where it slept.
func TestAPausedPodOutlivesItsSandbox(t *testing.T) {
	k := shared.Cluster(t)
	p := agentpod.Run(t, k, "lost", nil)
	before := p.Ask(t)
	for i, c := range []struct {
		how  string
		lose func()
	}{
		{"its shim died", func() { killShim(t, p, p.Container(t, "service")) }},
		{"the node was rebooted", func() { k.Reboot(t) }},
	} {
		k.Node.Ateom(t, "tasks", "pause", p.Container(t, "service"))
		address := p.Status(t).Status.PodIP
		c.lose()
		p.AwaitAddress(t, address)
		now := p.Ask(t)
		before.Counter++
		if diff := cmp.Diff(before, now); diff != "" {
			t.Errorf("the service after %s (-want +got):\n%s", c.how, diff)
		}
		k.Await(t, "wait", "--for=condition=Ready", "pod/lost")
		if out := k.Node.Ateom(t, "tasks", "status", p.Container(t, "service")); !strings.Contains(out, "running") {
			t.Errorf("after %s the sandbox is not awake: %s", c.how, out)
		}
		for _, status := range p.Status(t).Status.ContainerStatuses {
			if status.RestartCount != i+1 {
				t.Errorf("after %s, kubelet has restarted %s %d times, want %d", c.how, status.Name, status.RestartCount, i+1)
			}
		}
	}
}

// killShim kills the shim of the pod's sandbox, of which the container is one.
func killShim(t *testing.T, p *agentpod.Pod, id string) {
	t.Helper()
	ctx := p.Node.Context(t)
	container, err := p.Node.Client.LoadContainer(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sandbox := spec.Annotations["io.kubernetes.cri.sandbox-id"]
	shims := harness.Find(t, func(args string) bool {
		return strings.Contains(args, "containerd-shim-ateom-v1") && strings.Contains(args, "-id "+sandbox+" ")
	})
	if len(shims) != 1 {
		t.Fatalf("shims of sandbox %q: %v", sandbox, shims)
	}
	if err := syscall.Kill(shims[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Nothing of a pod stays on its node that was deleted while it was paused.
func TestNothingIsLeftOfADeletedPausedPod(t *testing.T) {
	k := shared.Cluster(t)
	live := func() {
		p := agentpod.Run(t, k, "gone", nil)
		k.Node.Ateom(t, "tasks", "pause", p.Container(t, "service"))
		k.Kubectl(t, "delete", "pod", "gone", "--wait")
	}
	live() // what the first one makes for all
	before := harness.Look(t, k.Node.Config.RunDir, k.Node.Config.StateDir, filepath.Join(k.Node.Dir, "state"),
		"/run/netns", "/var/lib/cni", filepath.Join(cluster.KubeletDir, "pods"))
	live()
	before.WantNothingMore(t)
}
