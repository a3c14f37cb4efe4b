// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/artifacts/pack"
	"github.com/ateom/ateom/durabledir/treetest"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/shim/config"
)

// largeVolume is how much the volume "large" holds, in MiB: so much is chunks, and
// what "data" holds is one tarball.
const largeVolume = 66

// twoVolumes are the flags of a sandbox with both.
var twoVolumes = []string{"--annotation", `ateom.dev/durable-dirs=[{"name":"data","mountPath":"/data"},{"name":"large","mountPath":"/large"}]`}

// startWithVolumes runs the program with both volumes full.
func startWithVolumes(t *testing.T, n *harness.Node, flags ...string) *harness.Task {
	t.Helper()
	task := start(t, n, append(twoVolumes, flags...)...)
	next(t, task)
	fill := fmt.Sprintf("dd if=/dev/urandom of=/large/ballast bs=1M count=%d; ln /large/ballast /large/link; "+
		"for i in $(seq 300); do echo $i >/large/file-$i; done; truncate -s 1G /large/hole", largeVolume)
	n.Ctr(t, "tasks", "exec", "--exec-id", "fill", task.ID, "sh", "-e", "-c", fill)
	for _, volume := range []string{"data", "large"} {
		tree := filepath.Join(volumeDir(task, volume), "tree")
		n.Ctr(t, "tasks", "exec", "--exec-id", "tree-"+volume, task.ID, "mkdir", filepath.Join("/", volume, "tree"))
		treetest.Make(t, tree)
	}
	return task
}

// volumeDir is where a volume of the task lies on its node.
func volumeDir(task *harness.Task, volume string) string {
	return filepath.Join(task.Node.Config.StateDir, "volumes", task.Node.Namespace, task.ID, volume)
}

// forHosts matches attributes that speak to a host's kernel: a restore leaves them out.
var forHosts = regexp.MustCompile(` 'trusted\.[^']+'=b'[^']*'`)

// walkVolumes describes both volumes of the task.
func walkVolumes(t *testing.T, task *harness.Task) (lines []string) {
	t.Helper()
	for _, volume := range []string{"data", "large"} {
		for _, line := range treetest.Walk(t, volumeDir(task, volume)) {
			lines = append(lines, volume+" "+forHosts.ReplaceAllString(line, ""))
		}
	}
	return lines
}

// storedBy returns the objects of a store by key, in which ID stands for the
// snapshot, and its manifest by itself.
func storedBy(t *testing.T, url, id string) (objects map[string]string, m *artifacts.Manifest) {
	t.Helper()
	store, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	objects = map[string]string{}
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Get(t.Context(), info.Key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		objects[strings.ReplaceAll(info.Key, id, "ID")] = string(b)
	}
	const manifest = "snapshots/ID/manifest.json"
	if m, err = artifacts.DecodeManifest([]byte(objects[manifest])); err != nil {
		t.Fatalf("read %s of %s: %v", manifest, url, err)
	}
	delete(objects, manifest) // it says when and by whom it was made
	return objects, m
}

// Every object of the one snapshot is, byte for byte, an object of the other.
func TestAFullPauseCommittedAsDataIsADataCommit(t *testing.T) {
	s3, _ := storetest.S3(t)
	urls := map[string]string{"running": s3, "paused": "file://" + t.TempDir()}
	var c harness.Config
	c.DefaultStore, c.Stores = "running", map[string]config.Store{}
	for name, url := range urls {
		c.Stores[name] = config.Store{URL: url}
	}
	n := harness.NewNode(t, c)
	n.Want(t, images.Busybox)
	task := startWithVolumes(t, n, "--annotation", "ateom.dev/on-commit=Data")
	before := next(t, task)

	first := commit(t, task)
	n.Ctr(t, "tasks", "pause", task.ID)
	second := commit(t, task, "--store", "paused")
	if got := task.SandboxState(t); got != "paused" {
		t.Errorf("after the commit the sandbox is %s, want paused", got)
	}
	if left := task.Processes(t); len(left) > 0 {
		t.Errorf("the commit woke the sandbox: %q", left)
	}

	want, wantManifest := storedBy(t, urls["running"], first)
	got, manifest := storedBy(t, urls["paused"], second)
	if manifest.Scope != artifacts.Data || wantManifest.Scope != artifacts.Data {
		t.Errorf("scopes %s while it ran and %s while it was paused, want Data", wantManifest.Scope, manifest.Scope)
	}
	if diff := cmp.Diff(wantManifest.Parts, manifest.Parts); diff != "" {
		t.Errorf("parts (-committed while it ran +while it was paused):\n%s", diff)
	}
	wantSameObjects(t, want, got)
	wantBothEncodings(t, manifest, got)

	// Into one store, nothing but what bears the snapshot's name is new.
	third := commit(t, task)
	after, _ := storedBy(t, urls["running"], third)
	for key := range after {
		if _, ok := want[key]; !ok && !strings.HasPrefix(key, "snapshots/"+first) {
			t.Errorf("the commit of the paused sandbox sent %s, which a store that has the same content lacked", key)
		}
	}

	n.Ctr(t, "tasks", "resume", task.ID)
	wantSameLife(t, before, next(t, task))
}

// wantSameObjects fails the test unless both stores hold the same bytes.
func wantSameObjects(t *testing.T, want, got map[string]string) {
	t.Helper()
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("only the store of the running sandbox has %s", key)
		}
	}
	for key, content := range got {
		switch other, ok := want[key]; {
		case !ok:
			t.Errorf("only the store of the paused sandbox has %s", key)
		case other != content:
			t.Errorf("%s differs: %d and %d bytes", key, len(other), len(content))
		}
	}
}

// wantBothEncodings fails the test unless the snapshot has a volume in one tarball
// and one in chunks: else it would show nothing of the other.
func wantBothEncodings(t *testing.T, m *artifacts.Manifest, objects map[string]string) {
	t.Helper()
	encodings := map[string]artifacts.Encoding{}
	for _, p := range m.Parts {
		encodings[p.Name] = p.Encoding
	}
	want := map[string]artifacts.Encoding{"durable/data": artifacts.TarZstd, "durable/large": artifacts.Chunks}
	if diff := cmp.Diff(want, encodings); diff != "" {
		t.Errorf("encodings (-want +got):\n%s", diff)
	}
	kinds := map[string]int{}
	for key := range objects {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind]++
	}
	if kinds["snapshots"] != 1 || kinds["recipes"] != 1 || kinds["packs"] < largeVolume<<20/pack.Target/2 {
		t.Errorf("objects by kind: %v; want one tarball, one recipe and many packs", kinds)
	}
}

// Volumes of both encodings come back as they were, to the last attribute: after a
// pause, and on another node from a Data and a Full snapshot.
func TestVolumesComeBackToTheLastAttribute(t *testing.T) {
	a, b := twoNodes(t, "")
	task := startWithVolumes(t, a)
	before, want := next(t, task), walkVolumes(t, task)
	if len(want) < 300 {
		t.Errorf("the volumes have %d names, want hundreds", len(want))
	}
	same := func(t *testing.T, task *harness.Task) {
		t.Helper()
		if diff := cmp.Diff(want, walkVolumes(t, task)); diff != "" {
			t.Errorf("volumes (-before +after):\n%s", diff)
		}
	}

	full, data := commit(t, task, "--scope", "Full"), commit(t, task, "--scope", "Data")
	a.Ctr(t, "tasks", "pause", task.ID)
	a.Ctr(t, "tasks", "resume", task.ID)
	t.Run("Resume", func(t *testing.T) {
		wantSameLife(t, before, next(t, task))
		same(t, task)
	})
	task.Remove(t)
	t.Run("Full", func(t *testing.T) {
		woken := start(t, b, append(twoVolumes, "--from", full)...)
		wantSameLife(t, before, next(t, woken))
		same(t, woken)
		woken.Remove(t)
	})
	t.Run("Data", func(t *testing.T) {
		woken := start(t, b, append(twoVolumes, "--from", data)...)
		if now := next(t, woken); now.data != before.data || now.nonce == before.nonce {
			t.Errorf("the program says %+v, want a cold boot over the data of %+v", now, before)
		}
		same(t, woken)
	})
}
