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

// cranky is a pod of which one container fails until it is told not to. The other
// one has a word in memory, which it writes down again and again.
const cranky = `
apiVersion: v1
kind: Pod
metadata: {name: @NAME@, annotations: {ateom.dev/durable-volumes: shared@ANNOTATIONS@}}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  containers:
  - name: broken
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, '[ -e /shared/mended ] || exit 1; echo mended; sleep 10000']
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'w=$(head -c 32 /dev/urandom | md5sum); while :; do echo $w >/shared/new; mv /shared/new /shared/word; sleep 0.2; done']
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, emptyDir: {}}]
`

// A container that kubelet is about to start again is in no snapshot, and keeps
// nobody from sleeping: while the pod sleeps, kubelet's tries are refused and change
// nothing; awake again, and in a new pod, the container is started as ever.
func TestAContainerThatFailsAgainAndAgainKeepsNoPodAwake(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, crank("cranky", ""))
	p := &agentpod.Pod{Cluster: k, Name: "cranky"}
	awaitBackOff(t, p)
	word := inMemory(t, p)
	app := p.Container(t, "app")
	harness.Eventually(t, func() error { // it may just be between its creation and its start
		r := k.Node.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "pause", app}})
		if r.Code != 0 {
			return fmt.Errorf("pause: %s", r.Stderr)
		}
		return nil
	})
	k.AwaitWarning(t, "default", "cranky", "is refused: it is paused; resume it first")
	if out := k.Node.Ateom(t, "tasks", "status", app); !strings.Contains(out, "paused") {
		t.Errorf("the sandbox is not paused any more: %s", out)
	}
	id := harness.LastLine(k.Node.Ateom(t, "tasks", "commit", "--scope", "Full", app))
	k.Node.Ateom(t, "tasks", "resume", app)
	wantMended(t, p, word)
	k.Kubectl(t, "delete", "pod", "cranky", "--wait")

	k.Apply(t, crank("cranky-again", fmt.Sprintf(", ateom.dev/restore-from: %q, ateom.dev/store: dir", id)))
	heir := &agentpod.Pod{Cluster: k, Name: "cranky-again"}
	wantMended(t, heir, word)
}

func crank(name, annotations string) string {
	return strings.NewReplacer("@NAME@", name, "@ANNOTATIONS@", annotations).Replace(cranky)
}

// awaitBackOff waits until kubelet waits before it starts the container again, while
// the other one runs.
func awaitBackOff(t *testing.T, p *agentpod.Pod) {
	t.Helper()
	cluster.Eventually(t, func() error {
		got := p.Kubectl(t, "get", "pod", p.Name, "-o", "jsonpath={range .status.containerStatuses[*]}{.name}={.state.waiting.reason}{.state.running.startedAt} {end}")
		if !strings.Contains(got, "broken=CrashLoopBackOff ") || !strings.Contains(got, "app=2") {
			return fmt.Errorf("the containers of %s: %q", p.Name, got)
		}
		return nil
	})
}

// inMemory is the word that the pod has in memory.
func inMemory(t *testing.T, p *agentpod.Pod) (word string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		r := p.Try(t, "exec", p.Name, "-c", "app", "--", "sh", "-c", "rm -f /shared/word; while [ ! -e /shared/word ]; do sleep 0.1; done; cat /shared/word")
		if word = r.Stdout; r.Code != 0 || word == "" {
			return fmt.Errorf("the word of %s: %s%s\n%s", p.Name, r.Stdout, r.Stderr, p.Try(t, "describe", "pod", p.Name).Stdout)
		}
		return nil
	})
	return word
}

// wantMended mends the container that fails, and waits until all of the pod runs. The
// other one must have the word in memory, and must never have been started again.
func wantMended(t *testing.T, p *agentpod.Pod, word string) {
	t.Helper()
	if now := inMemory(t, p); now != word {
		t.Errorf("%s had %q in memory and has %q", p.Name, word, now)
	}
	p.Kubectl(t, "exec", p.Name, "-c", "app", "--", "touch", "/shared/mended")
	cluster.Eventually(t, func() error {
		if r := p.Try(t, "logs", p.Name, "-c", "broken"); r.Stdout != "mended\n" {
			return fmt.Errorf("the container that failed says %q %s\n%s", r.Stdout, r.Stderr, p.Try(t, "describe", "pod", p.Name).Stdout)
		}
		return nil
	})
	p.Await(t, "wait", "--for=condition=Ready", "pod/"+p.Name)
	for _, c := range p.Status(t).Status.ContainerStatuses {
		if c.Name == "app" && c.RestartCount != 0 {
			t.Errorf("app of %s was started again %d times", p.Name, c.RestartCount)
		}
	}
}

// tandem is a pod of two containers with a volume in the sandbox. Each ends when it is
// told to, and says how often it has begun.
const tandem = `
apiVersion: v1
kind: Pod
metadata: {name: tandem}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'w=$(head -c 32 /dev/urandom | md5sum); while [ ! -e /shared/end-app ]; do echo $w >/shared/new; mv /shared/new /shared/word; sleep 0.2; done']
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: partner
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'while [ ! -e /shared/end-partner ]; do sleep 0.2; done']
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, emptyDir: {}}]
`

// A container that ends in a sandbox whose memory came back cannot have the volume again
// that lives there: it is refused, and costs the others nothing. When none is left, the
// pod begins anew.
func TestAContainerThatEndsAfterAResumeCostsTheOthersNothing(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, tandem)
	k.Await(t, "wait", "--for=condition=Ready", "pod/tandem")
	p := &agentpod.Pod{Cluster: k, Name: "tandem"}
	app := p.Container(t, "app")
	k.Node.Ateom(t, "tasks", "pause", app)
	k.Node.Ateom(t, "tasks", "resume", app)
	word := inMemory(t, p)
	end := func(name string) {
		// It may end before the exec is answered; what follows shows that it has.
		p.Try(t, "exec", p.Name, "-c", "app", "--", "touch", "/shared/end-"+name)
	}
	end("partner")
	k.AwaitWarning(t, "default", "tandem", `container "partner" cannot start in sandbox`)
	if now := inMemory(t, p); now != word {
		t.Errorf("the pod had %q in memory and has %q", word, now)
	}
	k.Node.Ateom(t, "tasks", "pause", app)
	k.Node.Ateom(t, "tasks", "resume", app)
	if now := inMemory(t, p); now != word {
		t.Errorf("the pod had %q in memory and has %q after another sleep", word, now)
	}
	address := p.Status(t).Status.PodIP
	end("app")
	p.AwaitAddress(t, address)
	k.Await(t, "wait", "--for=condition=Ready", "pod/tandem")
	if now := inMemory(t, p); now == word {
		t.Errorf("the pod that began anew has the old word %q", now)
	}
}
