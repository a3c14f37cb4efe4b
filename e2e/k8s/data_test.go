// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// diarist is a pod that writes its name into a volume each time it begins, and says
// what it has found there. It begins when its gate is opened, which has no volume.
const diarist = `
apiVersion: v1
kind: Pod
metadata:
  name: @NAME@
  annotations: {ateom.dev/durable-volumes: home@ANNOTATIONS@}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: gate
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'while [ ! -e /tmp/open ]; do sleep 0.1; done']
  containers:
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'touch /home/app/diary; echo begins after $(cat /home/app/diary); hostname >> /home/app/diary; sync; sleep 10000']
    volumeMounts: [{name: home, mountPath: /home/app}]
  volumes: [{name: home, emptyDir: {}}]
`

// diary makes such a pod, whose gate is closed.
func diary(t *testing.T, k *cluster.Cluster, name, annotations string) *agentpod.Pod {
	t.Helper()
	k.Apply(t, strings.NewReplacer("@NAME@", name, "@ANNOTATIONS@", annotations).Replace(diarist))
	return &agentpod.Pod{Cluster: k, Name: name}
}

// begin makes such a pod, which begins over an empty volume.
func begin(t *testing.T, k *cluster.Cluster, name string) *agentpod.Pod {
	t.Helper()
	p := diary(t, k, name, "")
	gate(t, p, "")
	open(t, p)
	awaitOutput(t, p, "begins after\n")
	k.Await(t, "wait", "--for=condition=Ready", "pod/"+name)
	return p
}

// gate returns containerd's id of the pod's gate, when it runs and is not the old one.
func gate(t *testing.T, p *agentpod.Pod, old string) (id string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		got := p.Kubectl(t, "get", "pod", p.Name, "-o", "jsonpath={range .status.initContainerStatuses[*]}{.containerID} {.state.running.startedAt}{end}")
		var since string
		id, since, _ = strings.Cut(strings.TrimPrefix(got, "containerd://"), " ")
		if since == "" || id == old {
			return fmt.Errorf("the gate of %s: %q\n%s", p.Name, got, p.Try(t, "describe", "pod", p.Name).Stdout)
		}
		return nil
	})
	return id
}

// open opens the gate.
func open(t *testing.T, p *agentpod.Pod) {
	t.Helper()
	// The container ends of it, perhaps before the exec is answered; what follows shows
	// that it has.
	p.Try(t, "exec", p.Name, "-c", "gate", "--", "touch", "/tmp/open")
}

// A new pod starts over the volumes of a Data snapshot, also if its sandbox is lost
// before the container comes that has them; and they are filled once, whatever is
// lost later.
func TestAPodStartsOverTheVolumesOfASnapshot(t *testing.T) {
	k := shared.Cluster(t)
	author := begin(t, k, "author")
	id := harness.LastLine(k.Node.Ateom(t, "tasks", "commit", "--scope", "Data", author.Container(t, "app")))
	k.Kubectl(t, "delete", "pod", "author", "--wait")

	heir := diary(t, k, "heir", fmt.Sprintf(", ateom.dev/restore-from: %q, ateom.dev/store: dir", id))
	first := gate(t, heir, "")
	killShim(t, heir, first)
	second := gate(t, heir, first)
	k.Reboot(t)
	third := gate(t, heir, second)
	open(t, heir)
	awaitOutput(t, heir, "begins after author\n")
	k.Await(t, "wait", "--for=condition=Ready", "pod/heir")

	killShim(t, heir, heir.Container(t, "app"))
	gate(t, heir, third)
	open(t, heir)
	awaitOutput(t, heir, "begins after author heir\n")
}
