// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// A pod whose sandbox is killed for want of memory says so, and the same pod
// does not say it again when something else ends its next sandbox.
func TestAPodThatWantsTooMuchMemoryIsOOMKilledOnce(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, `
apiVersion: v1
kind: Pod
metadata:
  name: greedy
  annotations: {ateom.dev/durable-volumes: home}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'if [ -e /home/app/again ]; then sleep 10000; fi; touch /home/app/again; tail /dev/zero']
    resources: {limits: {memory: 128Mi}}
    volumeMounts: [{name: home, mountPath: /home/app}]
  volumes: [{name: home, emptyDir: {}}]
`)
	awaitEnd(t, k, "greedy", "", "OOMKilled 137")

	k.Await(t, "wait", "pod", "greedy", "--for=condition=Ready")
	id := strings.TrimPrefix(k.Kubectl(t, "get", "pod", "greedy", "-o", "jsonpath={.status.containerStatuses[0].containerID}"), "containerd://")
	ctx := k.Node.Context(t)
	container, err := k.Node.Client.LoadContainer(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(task.Pid()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, k, "greedy", id, "Error 137")
}

// awaitEnd waits until the pod's status tells of the end of a container, of any if id
// is empty, and compares the reason and the status. Kubelet may try once to start the
// next one in the sandbox that is going, which is an end of its own.
func awaitEnd(t *testing.T, k *cluster.Cluster, pod, id, want string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		ends := k.Kubectl(t, "get", "pod", pod, "-o", `jsonpath={range .status.containerStatuses[*]['state','lastState']}`+
			`{.terminated.containerID} {.terminated.reason} {.terminated.exitCode}{"\n"}{end}`)
		for _, end := range strings.Split(ends, "\n") {
			of, how, _ := strings.Cut(strings.TrimPrefix(end, "containerd://"), " ")
			if of != "" && of == id && how != want {
				t.Fatalf("container %s ended by %s, want %s", id, how, want)
			}
			if (of == id || id == "") && how == want {
				return nil
			}
		}
		return fmt.Errorf("the container's ends: %q, want %q\n%s", ends, want, k.Try(t, "describe", "pod", pod).Stdout)
	})
}
