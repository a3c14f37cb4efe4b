// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package agentpod is a pod of the kind that the runtime is for, which tests make,
// ask how it is, and look at from outside.
package agentpod

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// manifest is a pod of the kind that sleeps: a service in Python with state in
// memory, a Redis, a side-car that logs, an init container, a durable emptyDir
// that all of them see, and things that kubelet mounts from elsewhere in each
// pod. Three kinds of probes look at it; on a busy machine their answers take
// their time.
const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {word: xyzzy}
---
apiVersion: v1
kind: Pod
metadata:
  name: @NAME@
  annotations:
    ateom.dev/durable-volumes: home
@ANNOTATIONS@
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: prepare
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'echo run >> /home/agent/prepared; echo in memory > /scratch/prepared; echo on disk > /data/prepared']
    volumeMounts:
    - {name: home, mountPath: /home/agent}
    - {name: scratch, mountPath: /scratch}
    - {name: disk, mountPath: /data}
  containers:
  - name: service
    image: ateom.test/debian:latest
    imagePullPolicy: Never
    command: [python3, -u, -c, "$(PROGRAM)"]
    env: [{name: PROGRAM, value: @PROGRAM@}]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 20}
    livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10}
    volumeMounts:
    - {name: home, mountPath: /home/agent}
    - {name: scratch, mountPath: /scratch}
    - {name: disk, mountPath: /disk}
    - {name: settings, mountPath: /etc/settings}
    - {name: password, mountPath: /etc/password}
    - {name: about, mountPath: /etc/about}
  - name: redis
    image: ateom.test/debian:latest
    imagePullPolicy: Never
    command: [redis-server, --save, "", --protected-mode, "no"]
    readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1, timeoutSeconds: 20}
    livenessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10}
    volumeMounts:
    - {name: disk, mountPath: /disk}
  - name: logger
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done']
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10}
    volumeMounts:
    - {name: home, mountPath: /home/agent}
    - {name: scratch, mountPath: /scratch}
  volumes:
  - {name: home, emptyDir: {}}
  - {name: scratch, emptyDir: {medium: Memory}}
  - {name: disk, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
  - {name: password, secret: {secretName: password}}
  - name: about
    projected: {sources: [{downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]}
`

// serviceProgram answers a question with what it has in memory and what it
// reads of each mount. One that is asked again, because nobody waited for its
// answer, counts once.
const serviceProgram = `
import http.server, json, os, hashlib
nonce = os.urandom(16).hex()
ballast = os.urandom(32 << 20)
for path in ("/home/agent/nonce", "/scratch/nonce", "/disk/nonce"):
    open(path, "w").write(nonce)
asked = set()
def read(path):
    try:
        return open(path).read()
    except OSError as e:
        return str(e)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asks = self.path.startswith("/state")
        if asks:
            asked.add(self.path)
        body = b"ok" if not asks else json.dumps({"nonce": nonce, "counter": len(asked), "ballast": hashlib.sha256(ballast).hexdigest(),
            "files": {p: read(p) for p in ("/home/agent/nonce", "/scratch/nonce", "/disk/nonce", "/home/agent/prepared",
                "/scratch/prepared", "/disk/prepared", "/etc/settings/greeting", "/etc/password/word", "/etc/about/name", "/var/tmp/marker")}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
open("/var/tmp/marker", "w").write("rootfs")
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
`

// A State is what the service answers.
type State struct {
	Nonce   string            `json:"nonce"`
	Counter int               `json:"counter"`
	Ballast string            `json:"ballast"`
	Files   map[string]string `json:"files"`
}

// A Pod that a test has made.
type Pod struct {
	*cluster.Cluster
	Name string
}

// Run makes a pod, with annotations beside its own, and waits until it is ready.
// It ends with the test.
func Run(t testing.TB, k *cluster.Cluster, name string, annotations map[string]string) *Pod {
	t.Helper()
	var lines []string
	for key, value := range annotations {
		lines = append(lines, fmt.Sprintf("    %s: %q", key, value))
	}
	program, err := json.Marshal(serviceProgram)
	if err != nil {
		t.Fatal(err)
	}
	k.Apply(t, strings.NewReplacer("@NAME@", name, "@ANNOTATIONS@", strings.Join(lines, "\n"), "@PROGRAM@", string(program)).Replace(manifest))
	k.Await(t, "wait", "--for=condition=Ready", "pod/"+name)
	return &Pod{k, name}
}

// A Status is what Kubernetes says of the pod.
type Status struct {
	Metadata struct{ UID string }
	Status   struct {
		PodIP             string
		Conditions        []Condition
		ContainerStatuses []struct {
			Name         string
			Ready        bool
			RestartCount int
			ContainerID  string
			State        struct {
				Running *struct{}
			}
		}
	}
}

// A Condition of a pod is Status "True" or not.
type Condition struct{ Type, Status string }

// Status asks Kubernetes.
func (p *Pod) Status(t testing.TB) *Status {
	t.Helper()
	var s Status
	p.Get(t, &s, "pod", p.Name)
	return &s
}

// WantUndisturbed fails the test unless the pod is ready and all its containers
// run, are ready and were never restarted.
func (p *Pod) WantUndisturbed(t testing.TB) {
	t.Helper()
	s := p.Status(t).Status
	ready := slices.ContainsFunc(s.Conditions, func(c Condition) bool { return c.Type == "Ready" && c.Status == "True" })
	if !ready || len(s.ContainerStatuses) == 0 {
		t.Errorf("%s is not ready: %+v", p.Name, s)
	}
	for _, c := range s.ContainerStatuses {
		if !c.Ready || c.State.Running == nil || c.RestartCount != 0 {
			t.Errorf("container %s of %s: %+v\n%s", c.Name, p.Name, c, p.Kubectl(t, "describe", "pod", p.Name))
		}
	}
}

// Container returns containerd's id of one of the pod's containers.
func (p *Pod) Container(t testing.TB, name string) string {
	t.Helper()
	for _, c := range p.Status(t).Status.ContainerStatuses {
		if c.Name == name {
			return strings.TrimPrefix(c.ContainerID, "containerd://")
		}
	}
	t.Fatalf("pod %s has no container %s", p.Name, name)
	return ""
}

// AwaitAddress waits until the pod has another sandbox, and with it another address.
func (p *Pod) AwaitAddress(t testing.TB, old string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		if now := p.Status(t).Status.PodIP; now == "" || now == old {
			return fmt.Errorf("the address of %s is %q", p.Name, now)
		}
		return nil
	})
}

// Ask asks the service how it is, from the node.
func (p *Pod) Ask(t testing.TB) State {
	t.Helper()
	return askAt(t, p.Status(t).Status.PodIP+":8080")
}

// AskForwarded asks the service how it is, as a developer does, by kubectl
// port-forward.
func (p *Pod) AskForwarded(t testing.TB) State {
	t.Helper()
	address, stop := p.Forward(t, p.Name, 8080)
	defer stop()
	return askAt(t, address)
}

// askAt asks one question until it is answered.
func askAt(t testing.TB, address string) (s State) {
	t.Helper()
	url := "http://" + address + "/state?" + rand.Text()
	cluster.Eventually(t, func() error { return cluster.GetJSON(url, &s) })
	return s
}

// probeCount is a line of kubelet's metrics.
var probeCount = regexp.MustCompile(`(?m)^prober_probe_total\{container="([^"]*)",.*pod="([^"]*)",.*probe_type="Liveness",.*\} (\d+)$`)

// Probes returns how often kubelet has probed the liveness of the pod's
// containers, with whatever result; nothing while it does not serve yet.
func (p *Pod) Probes(t testing.TB) map[string]int {
	t.Helper()
	counts := map[string]int{}
	metrics := p.Try(t, "get", "--raw", "/api/v1/nodes/node/proxy/metrics/probes").Stdout
	for _, m := range probeCount.FindAllStringSubmatch(metrics, -1) {
		if n, err := strconv.Atoi(m[3]); err == nil && m[2] == p.Name {
			counts[m[1]] += n
		}
	}
	return counts
}

// Memory returns what is charged to the pod's cgroup, in bytes.
func (p *Pod) Memory(t testing.TB) int64 {
	t.Helper()
	n, err := harness.CgroupMemory("kube", "kubepods", "*", "pod"+p.Status(t).Metadata.UID)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
