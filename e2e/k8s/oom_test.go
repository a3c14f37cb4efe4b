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
	awaitEnds(t, k, "greedy", "1 OOMKilled 137")

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
	awaitEnds(t, k, "greedy", "2 Error 137")
}

// awaitEnds waits until a pod's container runs again, has been restarted so often,
// and has ended last for this reason and with this status.
func awaitEnds(t *testing.T, k *cluster.Cluster, pod, want string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		got := k.Kubectl(t, "get", "pod", pod, "-o", "jsonpath={range .status.containerStatuses[*]}"+
			"{.restartCount} {.lastState.terminated.reason} {.lastState.terminated.exitCode} {.state.running.startedAt}{end}")
		if !strings.HasPrefix(got, want+" 2") {
			return fmt.Errorf("the container's restarts, and its last end: %q, want %q\n%s", got, want, k.Try(t, "describe", "pod", pod).Stdout)
		}
		return nil
	})
}
