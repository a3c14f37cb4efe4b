// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// Namespaces, of which one's name is the beginning of the other's.
const teamA, teamAB = "team-a", "team-ab"

// workloads are a Deployment as anybody has it, in two namespaces, and a Job: all
// that is about ateom in them are the class and the volume to keep. The server
// has a word in memory, which it writes down again and again.
const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {ateom.dev/durable-volumes: www}
    spec:
      runtimeClassName: ateom
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: ateom.test/busybox:latest
        imagePullPolicy: Never
        command: [sh, -c, 'w=$(head -c 32 /dev/urandom | md5sum); while :; do echo $w >/www/new; mv /www/new /www/word; sleep 0.2; done & exec busybox httpd -f -p 8080 -h /www']
        readinessProbe: {httpGet: {path: /word, port: 8080}, periodSeconds: 1, timeoutSeconds: 20}
        volumeMounts: [{name: www, mountPath: /www}]
      volumes: [{name: www, emptyDir: {}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  completions: 2
  template:
    spec:
      runtimeClassName: ateom
      restartPolicy: Never
      containers: [{name: sum, image: "ateom.test/busybox:latest", imagePullPolicy: Never, command: [sh, -c, 'echo $((6*7))']}]
`

// A server is the pod of a Deployment.
type server struct {
	*cluster.Cluster
	namespace, name, word string
	full                  string // id of its snapshot
}

// runWorkloads makes the objects in both namespaces and waits until they have
// done their work, as with any other runtime. It returns the servers.
func runWorkloads(t *testing.T, k *cluster.Cluster) map[string]*server {
	t.Helper()
	servers := map[string]*server{}
	for _, namespace := range []string{teamA, teamAB} {
		k.Kubectl(t, "create", "namespace", namespace)
		k.ApplyIn(t, namespace, workloads)
	}
	for _, namespace := range []string{teamA, teamAB} {
		k.Await(t, "rollout", "status", "-n", namespace, "deployment/web")
		k.Await(t, "wait", "-n", namespace, "--for=condition=Complete", "job/sum")
		if log := k.Kubectl(t, "logs", "-n", namespace, "-l", "job-name=sum"); log != "42\n42\n" {
			t.Errorf("the Job's pods say %q", log)
		}
		s := &server{Cluster: k, namespace: namespace}
		s.name = k.Kubectl(t, "get", "pods", "-n", namespace, "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}")
		s.word = s.ask(t)
		servers[namespace] = s
	}
	return servers
}

// ask asks the server for its word, from the node.
func (s *server) ask(t *testing.T) (word string) {
	t.Helper()
	ip := s.Kubectl(t, "get", "pod", s.name, "-n", s.namespace, "-o", "jsonpath={.status.podIP}")
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	cluster.Eventually(t, func() error {
		resp, err := client.Get("http://" + ip + ":8080/word")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		word = strings.TrimSpace(string(b))
		if err == nil && (resp.StatusCode != http.StatusOK || word == "") {
			err = fmt.Errorf("the server says %s: %q", resp.Status, word)
		}
		return err
	})
	return word
}

// wantMemory fails the test unless the server still has its word in memory.
func (s *server) wantMemory(t *testing.T) {
	t.Helper()
	s.Kubectl(t, "exec", "-n", s.namespace, s.name, "--", "rm", "-f", "/www/word")
	if word := s.ask(t); word != s.word {
		t.Errorf("the server of %s said %q and says %q", s.namespace, s.word, word)
	}
}
