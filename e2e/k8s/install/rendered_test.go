// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where overlays differ, in what the nodes get to see.
const (
	k3sFlags = " --containerd-config=/var/lib/rancher/k3s/agent/etc/containerd/config.toml" +
		" --drop-in=/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/ateom.toml" +
		" --containerd-socket=/run/k3s/containerd/containerd.sock --restart=systemctl try-restart k3s*.service"
	gkeFlags = " --dir=/home/kubernetes/bin/ateom"
)

// An overlay changes what it means to change, and nothing else: a patch that hits
// another field makes manifests that are valid all the same.
func TestOverlaysChangeWhatTheyMean(t *testing.T) {
	k := shared.Cluster(t)
	const installer = "/opt/ateom/bin/installer --root=/host --config=/config"
	for name, want := range map[string]struct {
		installer string
		changed   map[string]string // of what base mounts into the agent, by path
		env       string
		quota     bool
	}{
		"":              {installer: installer + " install"},
		"uninstall":     {installer: installer + " uninstall", changed: map[string]string{"/etc/ateom": ""}},
		"k3s":           {installer: installer + k3sFlags + " install", changed: map[string]string{"/run/k3s/containerd": "/run/k3s/containerd"}, env: "CONTAINERD_ADDRESS=/run/k3s/containerd/containerd.sock"},
		"uninstall-k3s": {installer: installer + k3sFlags + " uninstall", changed: map[string]string{"/run/k3s/containerd": "/run/k3s/containerd", "/etc/ateom": ""}, env: "CONTAINERD_ADDRESS=/run/k3s/containerd/containerd.sock"},
		"gke":           {installer: installer + gkeFlags + " install", quota: true},
		"uninstall-gke": {installer: installer + gkeFlags + " uninstall", changed: map[string]string{"/etc/ateom": ""}, quota: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := deployed(t, "base")
			if name != "" {
				dir = deployed(t, "overlays", name)
			}
			found := objects(t, k.Kubectl(t, "kustomize", dir))
			daemons := found[daemonSet]
			if got := daemons.command("installer"); got != want.installer {
				t.Errorf("the installer is\n%s, want\n%s", got, want.installer)
			}
			mounts := map[string]string{
				"/run/containerd": "/run/containerd", "/run/ateom": "/run/ateom", "/var/lib/ateom": "/var/lib/ateom", "/etc/ateom": "/etc/ateom",
			}
			for path, from := range want.changed {
				mounts[path] = from
			}
			if diff := cmp.Diff(mounts, daemons.mounts("agent")); diff != "" {
				t.Errorf("what the agent has of the node (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]string{"/host": "/", "/config": ""}, daemons.mounts("installer")); diff != "" {
				t.Errorf("what the installer has of the node (-want +got):\n%s", diff)
			}
			env := ""
			for _, v := range list(daemons.container("agent"), "env") {
				env += fmt.Sprint(v["name"], "=", v["value"])
			}
			if env != want.env {
				t.Errorf("the agent's environment is %q, want %q", env, want.env)
			}
			if _, ok := found["ResourceQuota "+agentNamespace+"/ateom-node"]; ok != want.quota {
				t.Errorf("there is a quota: %v, want %v", ok, want.quota)
			}
		})
	}
}
