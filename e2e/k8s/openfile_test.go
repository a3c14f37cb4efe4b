// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// settings is a configMap.
const settings = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {@DATA@}
`

// holder is a pod whose program has a file of a configMap open, of which it has
// read half; it reads the other half when it is told to.
const holder = `
apiVersion: v1
kind: Pod
metadata:
  name: @NAME@
  annotations: {@ANNOTATIONS@}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command:
    - sh
    - -c
    - 'exec 3</etc/settings/greeting; head -c 4 <&3; echo; while [ ! -e /tmp/go ]; do sleep 0.1; done; cat <&3; echo; cat /etc/settings/greeting; echo; sleep 10000'
    volumeMounts: [{name: settings, mountPath: /etc/settings}]
  volumes: [{name: settings, configMap: {name: settings}}]
`

// hold makes such a pod.
func hold(t *testing.T, k *cluster.Cluster, name, annotations string) *agentpod.Pod {
	t.Helper()
	k.Apply(t, strings.NewReplacer("@NAME@", name, "@ANNOTATIONS@", annotations).Replace(holder))
	return &agentpod.Pod{Cluster: k, Name: name}
}

// awaitOutput waits until the pod has written that, and nothing else.
func awaitOutput(t *testing.T, p *agentpod.Pod, want string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		if got := p.Try(t, "logs", p.Name).Stdout; got != want {
			return fmt.Errorf("%s has written %q, want %q\n%s", p.Name, got, want, p.Try(t, "describe", "pod", p.Name).Stdout)
		}
		return nil
	})
}

// A file of a configMap that is open in a snapshot goes on being read in a new
// pod, where kubelet has it under another name.
func TestAFileOfAConfigMapStaysOpenInANewPod(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, strings.ReplaceAll(settings, "@DATA@", "greeting: abcdefgh"))
	first := hold(t, k, "first", "")
	awaitOutput(t, first, "abcd\n")
	id := harness.LastLine(k.Node.Ateom(t, "tasks", "commit", "--scope", "Full", first.Container(t, "app")))
	k.Kubectl(t, "delete", "pod", "first", "--wait")

	second := hold(t, k, "second", fmt.Sprintf("ateom.dev/restore-from: %q, ateom.dev/store: dir", id))
	k.Await(t, "wait", "--for=condition=Ready", "pod/second")
	k.Kubectl(t, "exec", "second", "--", "touch", "/tmp/go")
	awaitOutput(t, second, "efgh\nabcdefgh\n")
	// What is open there must be good for the next snapshot.
	k.Node.Ateom(t, "tasks", "pause", second.Container(t, "app"))
	k.Node.Ateom(t, "tasks", "resume", second.Container(t, "app"))
	second.WantUndisturbed(t)

	// Where the file is missing, an event says which, and what to do.
	k.Apply(t, strings.ReplaceAll(settings, "@DATA@", "other: abcdefgh"))
	hold(t, k, "third", fmt.Sprintf("ateom.dev/restore-from: %q, ateom.dev/store: dir", id))
	for _, want := range []string{`/greeting" in the mount /etc/settings of container "app" was open when the snapshot was made, and is not there now`, "close it before the next commit"} {
		k.AwaitWarning(t, "default", "third", want)
	}
}

// A pod wakes up although its configMap was replaced while it slept.
func TestAPodWakesUpOverAnotherConfigMap(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, strings.ReplaceAll(settings, "@DATA@", "greeting: abcdefgh"))
	p := hold(t, k, "sleeper", "")
	awaitOutput(t, p, "abcd\n")
	app := p.Container(t, "app")
	link := filepath.Join(cluster.KubeletDir, "pods", p.Status(t).Metadata.UID, "volumes", "kubernetes.io~configmap", "settings", "..data")
	before, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	k.Node.Ateom(t, "tasks", "pause", app)
	k.Apply(t, strings.ReplaceAll(settings, "@DATA@", "greeting: ABCDEFGH"))
	cluster.Eventually(t, func() error {
		now, err := os.Readlink(link)
		if now == before {
			return fmt.Errorf("kubelet has not replaced %s, %v", now, err)
		}
		if _, err := os.Lstat(filepath.Join(filepath.Dir(link), before)); err == nil {
			return fmt.Errorf("kubelet has not removed %s", before)
		}
		return nil
	})
	k.Node.Ateom(t, "tasks", "resume", app)
	k.Kubectl(t, "exec", "sleeper", "--", "touch", "/tmp/go")
	awaitOutput(t, p, "abcd\nEFGH\nABCDEFGH\n")
	p.WantUndisturbed(t)
}
