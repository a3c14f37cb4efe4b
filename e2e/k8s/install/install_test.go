// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
	"github.com/ateom/ateom/shim/config"
)

const (
	agentLabel       = "app.kubernetes.io/name=ateom-node"
	containerdConfig = "/etc/containerd/config.toml"
)

// The manifests of deploy/ put the runtime on a node that has nothing of it,
// objects of Kubernetes and operators use it, and another manifest takes it off
// again. An install that fails changes nothing.
func TestTheManifestsInstallTheRuntimeAndTakeItOff(t *testing.T) {
	k := shared.Cluster(t)
	if err := k.StartControllers(); err != nil {
		t.Fatal(err)
	}
	top, err := harness.Top()
	if err != nil {
		t.Fatal(err)
	}
	k.Node.Ctr(t, "images", "import", filepath.Join(top, "dist", "ateom-node.tar"))
	before := nodeFiles(t)

	mend := wantFailedInstalls(t, k)
	restarts := 0
	withoutAgent(t, k, func() {
		mend()
		restarts = k.Restarts()
	})
	wantRestarts := func(after string, want int) {
		t.Helper()
		if n := k.Restarts() - restarts; n != want {
			t.Errorf("containerd was restarted %d times after %s, want %d", n, after, want)
		}
	}
	awaitAgent(t, k)
	wantRestarts("the install", 1)

	stores, files := buckets(t)
	want := setConfig(t, k, stores, files)
	k.Kubectl(t, "apply", "-k", deployed(t, "base")) // as for an upgrade
	k.Kubectl(t, "rollout", "restart", "-n", agentNamespace, "daemonset/ateom-node")
	awaitAgent(t, k)
	wantRestarts("an install that changed nothing of containerd's", 1)
	if diff := cmp.Diff(want, filesIn(t, "/etc/ateom")); diff != "" {
		t.Errorf("the node's configuration (-secret +node):\n%s", diff)
	}

	w := runWorkloads(t, k)
	operate(t, k, w)
	keepNamespacesApart(t, k, w)
	keepInBuckets(t, k, stores)
	for _, namespace := range []string{teamA, teamAB} {
		k.Kubectl(t, "delete", "namespace", namespace, "--wait")
	}

	// Somebody's change of containerd's configuration stays, and containerd starts.
	const theirs = "\n[metrics]\n  grpc_histogram = false\n"
	edit(t, containerdConfig, func(text string) string { return text + theirs })
	k.Kubectl(t, "apply", "-k", deployed(t, "overlays", "uninstall"))
	awaitAgent(t, k)
	edit(t, containerdConfig, func(text string) string { return strings.TrimSuffix(text, theirs) })
	if diff := cmp.Diff(before, nodeFiles(t)); diff != "" {
		t.Errorf("the node after the uninstall (-want +got):\n%s", diff)
	}
	wantRestarts("the uninstall", 2)
}

// wantFailedInstalls applies the manifests to a node that cannot take them: one
// whose configuration of containerd is not to be read, then one whose containerd
// does not come up, as it still does afterwards. The manifests stay applied; mend
// takes away what is in the way.
func wantFailedInstalls(t *testing.T, k *cluster.Cluster) (mend func()) {
	t.Helper()
	edit(t, containerdConfig, func(text string) string { return text + noTOML })
	broken := nodeFiles(t)
	base := deployed(t, "base")
	k.Kubectl(t, "apply", "-k", base)
	t.Cleanup(func() { k.Kubectl(t, "delete", "-k", base, "--ignore-not-found", "--wait") })
	wantFailedInstall(t, k, "read containerd's configuration /host"+containerdConfig, broken)

	withoutAgent(t, k, func() {
		mend = putBesideOurs(t, noTOML)
		edit(t, containerdConfig, func(text string) string { return strings.TrimSuffix(text, noTOML) })
		broken = nodeFiles(t)
	})
	wantFailedInstall(t, k, "restart containerd", broken)
	if k.Restarts() < 2 {
		t.Error("containerd was not restarted with its old configuration")
	}
	return mend
}

// withoutAgent changes the node while no pod of the DaemonSet is on it.
func withoutAgent(t *testing.T, k *cluster.Cluster, change func()) {
	t.Helper()
	k.Kubectl(t, "label", "node", cluster.NodeName, "ateom.dev/node-")
	k.Await(t, "wait", "-n", agentNamespace, "--for=jsonpath={.status.desiredNumberScheduled}=0", "daemonset/ateom-node")
	k.Await(t, "wait", "-n", agentNamespace, "--for=delete", "pod", "-l", agentLabel)
	change()
	k.Kubectl(t, "label", "node", cluster.NodeName, "ateom.dev/node=true")
	k.Await(t, "wait", "-n", agentNamespace, "--for=jsonpath={.status.desiredNumberScheduled}=1", "daemonset/ateom-node")
}

// wantFailedInstall waits until an installer has failed for a reason, and looks
// at what it left.
func wantFailedInstall(t *testing.T, k *cluster.Cluster, reason string, want map[string]string) {
	t.Helper()
	cluster.Eventually(t, func() error {
		log := k.Try(t, "logs", "-n", agentNamespace, "-l", agentLabel, "-c", "installer")
		for _, words := range []string{"install; the node is as it was", reason} {
			if !strings.Contains(log.Stdout, words) {
				return fmt.Errorf("the installer does not say %q: %s%s", words, log.Stdout, log.Stderr)
			}
		}
		if diff := cmp.Diff(want, nodeFiles(t)); diff != "" { // it may be trying again
			return fmt.Errorf("the node after an install that failed (-want +got):\n%s", diff)
		}
		return nil
	})
}

// awaitAgent waits until the node's pod has done its work and serves.
func awaitAgent(t *testing.T, k *cluster.Cluster) {
	t.Helper()
	k.Await(t, "rollout", "status", "-n", agentNamespace, "daemonset/ateom-node")
}

// setConfig makes the Secret as an administrator does, with a store whose key is a
// file, and with more stores and files. It returns what the node is to have.
func setConfig(t *testing.T, k *cluster.Cluster, stores map[string]config.Store, files map[string]string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := k.Node.Config
	c.Stores = maps.Clone(c.Stores)
	for name, store := range c.Stores {
		store.KeyFile = "/etc/ateom/store.key"
		c.Stores[name] = store
	}
	maps.Copy(c.Stores, stores)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Write(filepath.Join(dir, "config.toml")), os.WriteFile(filepath.Join(dir, "store.key"), []byte(id.String()), 0o600)); err != nil {
		t.Fatal(err)
	}
	k.Kubectl(t, "create", "secret", "generic", "ateom-config", "-n", agentNamespace, "--from-file="+dir)
	return filesIn(t, dir)
}

// filesIn are the files of a directory with their modes.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = describe(filepath.Join(dir, e.Name()), e); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// edit changes a file of the node in place.
func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(change(harness.ReadFile(t, path))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nodeFiles is what the node has where the installer may write: each
// path with its mode and the digest of its content.
func nodeFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, root := range []string{"/etc", "/opt/ateom"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil {
				files[path], err = describe(path, e)
			}
			if errors.Is(err, fs.ErrNotExist) {
				delete(files, path) // it may be on its way out
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func describe(path string, e fs.DirEntry) (string, error) {
	fi, err := e.Info()
	if err != nil || !fi.Mode().IsRegular() {
		return fmt.Sprint(e.Type()), err
	}
	b, err := os.ReadFile(path)
	return fmt.Sprintf("%s %x", fi.Mode(), sha256.Sum256(b)), err
}
