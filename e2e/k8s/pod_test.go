// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/k8s/agentpod"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// web is a pod that serves a file. Its probes are as they are by default: a second
// each, and three that fail end the container.
const web = `
apiVersion: v1
kind: Pod
metadata: {name: @NAME@}
spec:
  runtimeClassName: ateom
  nodeName: node
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'mkdir /www; echo hi > /www/x; exec busybox httpd -f -p 8080 -h /www']
    readinessProbe: {httpGet: {path: /x, port: 8080}, periodSeconds: 1}
    livenessProbe: {httpGet: {path: /x, port: 8080}, periodSeconds: 1}
`

// serve makes such a pod, and returns when it is ready.
func serve(t *testing.T, k *cluster.Cluster, name string) *agentpod.Pod {
	t.Helper()
	k.Apply(t, strings.ReplaceAll(web, "@NAME@", name))
	k.Await(t, "wait", "--for=condition=Ready", "pod/"+name)
	return &agentpod.Pod{Cluster: k, Name: name}
}

func TestAPodBecomesReady(t *testing.T) {
	serve(t, shared.Cluster(t), "first")
}
