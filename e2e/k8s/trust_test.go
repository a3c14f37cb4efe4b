// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// annotated is a pod that sleeps in the usual sense, with annotations.
func annotated(name string, annotations map[string]string) string {
	var lines []string
	for key, value := range annotations {
		lines = append(lines, fmt.Sprintf("    %s: %q", key, value))
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %s
  annotations:
%s
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 0
  containers: [{name: app, image: "ateom.test/busybox:latest", imagePullPolicy: Never, command: [sleep, "1000"]}]
`, name, strings.Join(lines, "\n"))
}

// What a pod's author writes names nothing of the node: an event says what was
// wrong, and nothing has run.
func TestAPodNamesNothingOfTheNode(t *testing.T) {
	k := shared.Cluster(t)
	probe := func(action string) map[string]string {
		return map[string]string{"ateom.dev/readiness": "[{" + action + "}]"}
	}
	tries := []struct {
		name        string
		annotations map[string]string
		want        string
	}{
		{"host-path", map[string]string{"ateom.dev/durable-dirs": `[{"name":"a","mountPath":"/x","hostPath":"/etc"}]`}, "durable-dirs[0].hostPath: unknown field"},
		{"volume-path", map[string]string{"ateom.dev/durable-dirs": `[{"name":"../../etc","mountPath":"/x"}]`}, "durable-dirs[0].name"},
		{"volume-of-node", map[string]string{"ateom.dev/durable-volumes": "../../../../etc"}, "durable-volumes"},
		{"store-path", map[string]string{"ateom.dev/store": "file:///etc"}, "want the name of a store"},
		{"probe-of-node", probe(`"tcpSocket":{"port":22,"host":"10.90.0.1"}`), "a probe is dialled inside the sandbox"},
		{"probe-of-metadata", probe(`"httpGet":{"port":80,"host":"169.254.169.254"}`), "a probe is dialled inside the sandbox"},
		{"unknown", map[string]string{"ateom.dev/runsc": "/tmp/runsc"}, "ateom.dev/runsc"},
	}
	var all []string
	for _, c := range tries {
		all = append(all, annotated(c.name, c.annotations))
	}
	k.Apply(t, strings.Join(all, "---"))
	for _, c := range tries {
		k.AwaitWarning(t, "default", c.name, c.want)
		if got := k.Kubectl(t, "get", "pod", c.name, "-o", "jsonpath={.status.containerStatuses[*].containerID}"); got != "" {
			t.Errorf("pod %s has container %s", c.name, got)
		}
	}
}

// Annotations that gVisor's own shim would obey are nothing to a pod of ours.
func TestAPodSetsNoFlagOfGVisor(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, annotated("flags", map[string]string{
		"dev.gvisor.flag.host-uds": "all", "dev.gvisor.flag.network": "host", "dev.gvisor.flag.debug": "true",
		"dev.gvisor.spec.rootfs.source": "/etc", "dev.gvisor.internal.checkpoint.path": "/etc",
	}))
	k.Await(t, "wait", "--for=condition=Ready", "pod/flags")
	sandboxes := 0
	harness.Find(t, func(args string) bool {
		if !strings.HasPrefix(args, "runsc") {
			return false
		}
		sandboxes++
		for _, flag := range []string{"host-uds=all", "network=host", "-debug=true", "checkpoint.path"} {
			if strings.Contains(args, flag) {
				t.Errorf("a pod's annotation became the flag %s of %q", flag, args)
			}
		}
		return false
	})
	if sandboxes == 0 {
		t.Error("the pod has no sandbox")
	}
	if names := k.Kubectl(t, "exec", "flags", "--", "ls", "/"); !strings.Contains(names, "bin\n") || strings.Contains(names, "shadow") {
		t.Errorf("the root of the pod:\n%s", names)
	}
}

// A probe that a pod's author writes is dialled inside the sandbox, so that
// a port of the node, even of its loopback, is none of the pod's.
func TestAProbeReachesNothingButItsSandbox(t *testing.T) {
	k := shared.Cluster(t)
	l, err := net.Listen("tcp", ":0") // on each address of the node
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var reached atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	k.Apply(t, annotated("probed", map[string]string{
		"ateom.dev/readiness": fmt.Sprintf(`[{"tcpSocket":{"port":%d},"periodSeconds":1,"timeoutSeconds":5,"failureThreshold":3}]`, port),
	}))
	k.Await(t, "wait", "--for=condition=Ready", "pod/probed")
	container := (&agentpod.Pod{Cluster: k, Name: "probed"}).Container(t, "app")
	k.Node.Ateom(t, "tasks", "pause", container)
	r := k.Node.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", container}})
	if want := fmt.Sprintf("tcpSocket :%d did not succeed", port); r.Code == 0 || !strings.Contains(r.Stderr, want) {
		t.Errorf("resume: exit code %d, want %q in: %s%s", r.Code, want, r.Stdout, r.Stderr)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the probe reached the node %d times", n)
	}
	cluster.Eventually(t, func() error { return knock(port) })
	if reached.Load() == 0 {
		t.Error("nobody can reach the node's port, so that this shows nothing")
	}
}

// knock connects to a port of the node's loopback.
func knock(port int) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1)) // until the other side has closed
	if errors.Is(err, io.EOF) {
		err = nil
	}
	conn.Close()
	return err
}
