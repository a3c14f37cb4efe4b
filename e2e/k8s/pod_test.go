// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import "testing"

func TestAPodBecomesReady(t *testing.T) {
	k := shared.Cluster(t)
	k.Apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: first}
spec:
  runtimeClassName: ateom
  nodeName: node
  containers:
  - name: app
    image: ateom.test/busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'mkdir /www; echo hi > /www/x; exec busybox httpd -f -p 8080 -h /www']
    readinessProbe: {httpGet: {path: /x, port: 8080}, periodSeconds: 1}
`)
	k.Await(t, "wait", "--for=condition=Ready", "pod/first")
}
