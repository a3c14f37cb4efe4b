// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

func TestAPodSleepsAndWakesUpElsewhere(t *testing.T) {
	k := theCluster(t)
	p := runAgent(t, k, "agent", nil)
	service := p.container(t, "service")
	first := p.ask(t)
	wantFiles := map[string]string{
		"/home/agent/nonce": first.Nonce, "/scratch/nonce": first.Nonce, "/disk/nonce": first.Nonce,
		"/home/agent/prepared": "run\n", "/scratch/prepared": "in memory\n", "/var/tmp/marker": "rootfs",
		"/etc/settings/greeting": "hello", "/etc/password/word": "xyzzy", "/etc/about/name": "agent",
	}
	if diff := cmp.Diff(wantFiles, first.Files); diff != "" {
		t.Fatalf("what the service reads (-want +got):\n%s", diff)
	}
	k.Kubectl(t, "exec", "agent", "-c", "redis", "--", "redis-cli", "set", "k", "v")
	oldIP := p.status(t).Status.PodIP

	full := harness.LastLine(k.Node.Ateom(t, "tasks", "commit", "--scope", "Full", service))
	k.Node.Ateom(t, "tasks", "commit", "--scope", "Data", service)
	k.Kubectl(t, "delete", "pod", "agent", "--wait")

	again := runAgent(t, k, "again", map[string]string{"ateom.dev/restore-from": full, "ateom.dev/store": "dir"})
	if ip := again.status(t).Status.PodIP; ip == oldIP {
		t.Errorf("the new pod has the old one's address %s", ip)
	}
	now := again.ask(t)
	want := first
	want.Counter++
	want.Files["/etc/about/name"] = "again"
	if diff := cmp.Diff(want, now); diff != "" {
		t.Errorf("the service in the new pod (-want +got):\n%s", diff)
	}
	if v := k.Kubectl(t, "exec", "again", "-c", "redis", "--", "redis-cli", "get", "k"); v != "v\n" {
		t.Errorf("redis in the new pod says %q", v)
	}
	again.wantUndisturbed(t)
}
