// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// agentPod is a pod of the kind that sleeps: a service in Python with state in
// memory, a Redis, a side-car that logs, an init container, a durable emptyDir
// that all of them see, and things that kubelet mounts from elsewhere in each
// pod. Three kinds of probes look at it.
const agentPod = `
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
    command: [sh, -c, 'echo run >> /home/agent/prepared; echo in memory > /scratch/prepared']
    volumeMounts:
    - {name: home, mountPath: /home/agent}
    - {name: scratch, mountPath: /scratch}
  containers:
  - name: service
    image: ateom.test/debian:latest
    imagePullPolicy: Never
    command: [python3, -u, -c, "$(PROGRAM)"]
    env: [{name: PROGRAM, value: @PROGRAM@}]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 3}
    livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 10}
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
    readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1, timeoutSeconds: 3}
    livenessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 10}
    volumeMounts:
    - {name: disk, mountPath: /disk}
  - name: logger
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done']
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 10}
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

// serviceProgram answers every request with what it has in memory and what it
// reads of each mount.
const serviceProgram = `
import http.server, json, os, hashlib
nonce = os.urandom(16).hex()
ballast = os.urandom(32 << 20)
for path in ("/home/agent/nonce", "/scratch/nonce", "/disk/nonce"):
    open(path, "w").write(nonce)
counter = 0
def read(path):
    try:
        return open(path).read()
    except OSError as e:
        return str(e)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global counter
        if self.path == "/state":
            counter += 1
        body = json.dumps({"nonce": nonce, "counter": counter, "ballast": hashlib.sha256(ballast).hexdigest(),
            "files": {p: read(p) for p in ("/home/agent/nonce", "/scratch/nonce", "/disk/nonce", "/home/agent/prepared",
                "/scratch/prepared", "/etc/settings/greeting", "/etc/password/word", "/etc/about/name", "/var/tmp/marker")}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
open("/var/tmp/marker", "w").write("rootfs")
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
`

// A state is what the service answers.
type state struct {
	Nonce   string            `json:"nonce"`
	Counter int               `json:"counter"`
	Ballast string            `json:"ballast"`
	Files   map[string]string `json:"files"`
}

// A pod that a test has made.
type pod struct {
	*cluster.Cluster
	name string
}

// runAgent makes an agent's pod and waits until it is ready.
func runAgent(t *testing.T, k *cluster.Cluster, name string, annotations map[string]string) *pod {
	t.Helper()
	p := applyAgent(t, k, name, annotations)
	p.awaitReady(t)
	return p
}

func applyAgent(t *testing.T, k *cluster.Cluster, name string, annotations map[string]string) *pod {
	t.Helper()
	var lines []string
	for key, value := range annotations {
		lines = append(lines, fmt.Sprintf("    %s: %q", key, value))
	}
	program, err := json.Marshal(serviceProgram)
	if err != nil {
		t.Fatal(err)
	}
	k.Apply(t, strings.NewReplacer("@NAME@", name, "@ANNOTATIONS@", strings.Join(lines, "\n"), "@PROGRAM@", string(program)).Replace(agentPod))
	return &pod{k, name}
}

func (p *pod) awaitReady(t *testing.T) {
	t.Helper()
	r := p.Try(t, "wait", "--for=condition=Ready", "--timeout=50s", "pod/"+p.name)
	if r.Code != 0 {
		t.Fatalf("pod %s is not ready: %s\n%s\n%s", p.name, r.Stderr, p.Kubectl(t, "describe", "pod", p.name), p.Logs())
	}
}

// status is what Kubernetes says of the pod.
type status struct {
	Metadata struct{ UID string }
	Status   struct {
		PodIP             string
		Conditions        []struct{ Type, Status string }
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

func (p *pod) status(t *testing.T) *status {
	t.Helper()
	var s status
	p.Get(t, &s, "pod", p.name)
	return &s
}

// wantUndisturbed fails the test unless all containers run, are ready and were
// never restarted.
func (p *pod) wantUndisturbed(t *testing.T) {
	t.Helper()
	for _, c := range p.status(t).Status.ContainerStatuses {
		if !c.Ready || c.State.Running == nil || c.RestartCount != 0 {
			t.Errorf("container %s of %s: %+v\n%s", c.Name, p.name, c, p.Kubectl(t, "describe", "pod", p.name))
		}
	}
}

// container returns containerd's id of one of the pod's containers.
func (p *pod) container(t *testing.T, name string) string {
	t.Helper()
	for _, c := range p.status(t).Status.ContainerStatuses {
		if c.Name == name {
			return strings.TrimPrefix(c.ContainerID, "containerd://")
		}
	}
	t.Fatalf("pod %s has no container %s", p.name, name)
	return ""
}

// ask asks the service how it is, from the node.
func (p *pod) ask(t *testing.T) state {
	t.Helper()
	var s state
	url := fmt.Sprintf("http://%s:8080/state", p.status(t).Status.PodIP)
	harness.Eventually(t, func() error { return cluster.GetJSON(url, &s) })
	return s
}

// askForwarded asks the service how it is, as a developer does, by kubectl
// port-forward.
func (p *pod) askForwarded(t *testing.T) state {
	t.Helper()
	address, stop := p.Forward(t, p.name, 8080)
	defer stop()
	var s state
	harness.Eventually(t, func() error { return cluster.GetJSON("http://"+address+"/state", &s) })
	return s
}

// probeCount is a line of kubelet's metrics.
var probeCount = regexp.MustCompile(`(?m)^prober_probe_total\{container="([^"]*)",.*pod="([^"]*)",.*probe_type="Liveness",.*\} (\d+)$`)

// probes returns how often kubelet has probed the liveness of the pod's
// containers, with whatever result; nothing while it does not serve yet.
func (p *pod) probes(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	metrics := p.Try(t, "get", "--raw", "/api/v1/nodes/node/proxy/metrics/probes").Stdout
	for _, m := range probeCount.FindAllStringSubmatch(metrics, -1) {
		if n, err := strconv.Atoi(m[3]); err == nil && m[2] == p.name {
			counts[m[1]] += n
		}
	}
	return counts
}

// memory returns what is charged to the pod's cgroup, in bytes.
func (p *pod) memory(t *testing.T) int64 {
	t.Helper()
	n, err := harness.CgroupMemory("kube", "kubepods", "*", "pod"+p.status(t).Metadata.UID)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
