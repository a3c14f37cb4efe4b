// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// Kubelet probes a paused pod and measures it. The pod stays an endpoint of its
// Services: clients come that wait for the server to speak.
func TestKubeletLetsAPausedPodSleepOn(t *testing.T) {
	k := shared.Cluster(t)
	p := serve(t, k, "visited")
	app := p.Container(t, "app")
	var awake float64
	p.AwaitFigures(t, func(f map[string]agentpod.Figures) bool {
		awake = f[""].Memory
		return f["app"].CPU > 0 && f["app"].Memory > 0 && f[""].CPU > 0 && awake > 0
	})
	k.Node.Ateom(t, "tasks", "pause", app)
	ip := p.Status(t).Status.PodIP
	for range 200 {
		conn, err := net.Dial("tcp", net.JoinHostPort(ip, "5432"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	before := p.Probes(t)["app"]
	cluster.Eventually(t, func() error {
		// Twice as many as it takes to be killed for.
		if n := p.Probes(t)["app"] - before; n < 6 {
			return fmt.Errorf("its liveness was probed %d times", n)
		}
		return nil
	})
	p.AwaitFigures(t, func(f map[string]agentpod.Figures) bool { // which make metrics-server drop the pod
		return f["app"].CPU > 0 && f["app"].Memory == 0 && f[""].Memory < awake/2
	})
	p.WantUndisturbed(t)
	if out := k.Node.Ateom(t, "tasks", "status", app); !strings.Contains(out, "paused") {
		t.Errorf("the sandbox is not paused any more: %s", out)
	}
	k.Kubectl(t, "delete", "pod", "visited", "--wait")
}
