// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
	"github.com/ateom/ateom/shim/config"
)

// awsFile is a file of the Secret beside config.toml.
const awsFile = "aws"

// buckets starts an S3 and a GCS server that the node and its pods reach. It returns
// stores as an administrator configures them, by their names, and the files of the
// Secret that they name: keys stand in the store's own env, or in a file.
func buckets(t *testing.T) (stores map[string]config.Store, files map[string]string) {
	t.Helper()
	s3, _ := storetest.S3At(t, cluster.NodeIP)
	gs, address := storetest.GCSAt(t, cluster.NodeIP)
	return map[string]config.Store{
			"s3":      {URL: s3 + "&prefix=env/", Env: map[string]string{"AWS_ACCESS_KEY_ID": storetest.AccessKey, "AWS_SECRET_ACCESS_KEY": storetest.SecretKey}},
			"s3-file": {URL: s3 + "&prefix=file/", Env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/etc/ateom/" + awsFile}},
			"gs":      {URL: gs, Env: map[string]string{"STORAGE_EMULATOR_HOST": address}},
		}, map[string]string{
			awsFile: fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", storetest.AccessKey, storetest.SecretKey),
		}
}

// keepInBuckets takes a pod to each bucket and back, as operators do, and looks
// meanwhile at what the node's processes show of the buckets' key.
func keepInBuckets(t *testing.T, k *cluster.Cluster, stores map[string]config.Store) {
	t.Helper()
	seen := watchFor(t, storetest.SecretKey)
	for store := range stores {
		if os.Getenv("AWS_SECRET_ACCESS_KEY") != "" {
			t.Fatal("the tests' own environment has a key: this shows nothing")
		}
		first := &server{Cluster: k, namespace: "default", name: "first-" + store}
		k.Apply(t, webPod(first.name, fmt.Sprintf("ateom.dev/store: %q", store)))
		k.Await(t, "wait", "--for=condition=Ready", "pod/"+first.name)
		first.word = first.ask(t)
		as := func(args ...string) string {
			t.Helper()
			out, err := plugin(t, k.Kubeconfig, args...)
			if err != nil {
				t.Fatalf("kubectl ateom %q: %v\n%s\n%s", args, err, out, k.Logs())
			}
			return out
		}
		id := harness.LastLine(as("commit", "--scope", "Full", first.name))
		k.Kubectl(t, "delete", "pod", first.name, "--wait")
		if list := as("snapshots", "-n", "default", "--store", store); !strings.Contains(list, id) {
			t.Errorf("the snapshots in %s:\n%s", store, list)
		}
		heir := &server{Cluster: k, namespace: "default", name: "heir-" + store, word: first.word}
		k.Apply(t, webPod(heir.name, fmt.Sprintf("ateom.dev/store: %q, ateom.dev/restore-from: %q", store, id)))
		k.Await(t, "wait", "--for=condition=Ready", "pod/"+heir.name)
		heir.wantMemory(t)
		k.Kubectl(t, "delete", "pod", heir.name, "--wait")
	}
	seen.end(t)
	wantInNoFile(t, k.Node.Config.RunDir, storetest.SecretKey)
}

// webPod is a pod as those of the Deployment, with annotations of its own.
func webPod(name, annotations string) string {
	_, template, _ := strings.Cut(workloads, "    spec:\n")
	spec, _, _ := strings.Cut(template, "---")
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %s
  annotations: {ateom.dev/durable-volumes: www, %s}
spec:
%s`, name, annotations, strings.ReplaceAll("\n"+spec, "\n    ", "\n"))
}

// A watch looks again and again for a secret in what processes show of themselves:
// their arguments and their environment.
type watch struct {
	secret      []byte
	stop, ended chan struct{}
	looked      map[string]bool // names of programs
	found       map[string]bool
}

// watchFor begins to look.
func watchFor(t *testing.T, secret string) *watch {
	t.Helper()
	w := &watch{secret: []byte(secret), stop: make(chan struct{}), ended: make(chan struct{}), looked: map[string]bool{}, found: map[string]bool{}}
	go func() {
		defer close(w.ended)
		for {
			w.look()
			select {
			case <-w.stop:
				w.look()
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return w
}

func (w *watch) look() {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		program := strings.TrimSpace(string(name))
		if err != nil || program == "versitygw" { // which has it in its arguments
			continue
		}
		w.looked[program] = true
		for _, file := range []string{"cmdline", "environ"} {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil && bytes.Contains(b, w.secret) {
				w.found[program+"'s "+file] = true
			}
		}
	}
}

// end fails the test if a process has shown the secret, or if shims, sandboxes and
// gofers have not been looked at.
func (w *watch) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	<-w.ended
	for what := range w.found {
		t.Errorf("a store's key is in %s", what)
	}
	for _, want := range []string{"containerd-shim", "ateom-gofer", "runsc"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(w.looked)), func(program string) bool { return strings.HasPrefix(program, want) }) {
			t.Errorf("no %s was looked at: %v", want, w.looked)
		}
	}
}

// wantInNoFile fails the test if a file below dir holds the secret.
func wantInNoFile(t *testing.T, dir, secret string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // it may have gone
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(secret)) {
			t.Errorf("a store's key is in %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
