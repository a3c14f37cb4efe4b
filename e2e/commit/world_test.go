// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/shim/config"
)

// A world is two nodes that share nothing but their stores.
type world struct {
	first, second *harness.Node
	// urls of the stores by their configured names.
	urls map[string]string
}

// newWorld starts the stores' servers and both nodes.
func newWorld(t *testing.T, io config.CheckpointIO) *world {
	t.Helper()
	s3, _ := storetest.S3(t)
	gs, _ := storetest.GCS(t)
	azure, _ := storetest.Azure(t)
	w := &world{urls: map[string]string{"dir": "file://" + t.TempDir(), "s3": s3, "gs": gs, "azure": azure}}
	stores := map[string]config.Store{}
	for name, url := range w.urls {
		stores[name] = config.Store{URL: url}
	}
	w.urls["sealed"] = "file://" + t.TempDir()
	stores["sealed"] = config.Store{URL: w.urls["sealed"], KeyCommand: []string{"/bin/cat", newKey(t)}}
	for _, n := range []**harness.Node{&w.first, &w.second} {
		c := harness.Config{}
		c.CheckpointIO, c.Stores, c.DefaultStore = io, stores, "dir"
		*n = harness.NewNode(t, c)
		(*n).Want(t, images.Busybox)
	}
	return w
}

// newKey makes a secret key and returns its file.
func newKey(t *testing.T) (path string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// script is a program that can be told from every other run of itself: it
// keeps a nonce and a counter in memory, and the nonce of its first start in
// its root filesystem and in a DurableDir. Every line is
// nonce, counter, mark in the rootfs, mark in the DurableDir.
const script = `
nonce=$(tr -dc a-f0-9 </dev/urandom | head -c 16)
[ -e /root/mark ] || echo $nonce >/root/mark
[ -e /data/mark ] || echo $nonce >/data/mark
n=0
while :; do
	n=$((n+1))
	read root </root/mark; read data </data/mark
	echo $nonce $n $root $data
	usleep 20000
done`

// A line is what the program says of itself.
type line struct {
	nonce      string
	count      int
	root, data string
}

// start runs the program on n; flags are those of ctr-ateom run.
func start(t *testing.T, n *harness.Node, flags ...string) *harness.Task {
	t.Helper()
	return startScript(t, n, script, flags...)
}

// startScript is start of another program.
func startScript(t *testing.T, n *harness.Node, script string, flags ...string) *harness.Task {
	t.Helper()
	task, r := tryStart(t, n, script, flags...)
	if r.Code != 0 {
		t.Fatalf("ctr-ateom run %q: exit code %d\n%s\ncontainerd's log:\n%s", flags, r.Code, r.Stderr, n.LastLog())
	}
	return task
}

// tryStart is startScript of what may be refused.
func tryStart(t *testing.T, n *harness.Node, script string, flags ...string) (*harness.Task, harness.Result) {
	t.Helper()
	id := harness.NewID(t)
	task := &harness.Task{Node: n, ID: id, LogPath: filepath.Join(n.Dir, id+".log")}
	t.Cleanup(func() { task.Remove(t) })
	args := []string{
		"run", "--detach", "--log-uri", "file://" + task.LogPath,
		"--annotation", `ateom.dev/durable-dirs=[{"name":"data","mountPath":"/data"}]`,
	}
	args = append(append(args, flags...), images.Busybox.Ref, id, "sh", "-c", script)
	return task, n.Do(t, harness.Command{Program: "ctr-ateom", Args: args})
}

// lines are those that the program has written whole.
func lines(t *testing.T, task *harness.Task) []line {
	t.Helper()
	log := task.Log(t)
	log = log[:strings.LastIndexByte(log, '\n')+1]
	var all []line
	for text := range strings.Lines(log) {
		var l line
		if _, err := fmt.Sscanf(text, "%s %d %s %s", &l.nonce, &l.count, &l.root, &l.data); err != nil {
			t.Fatalf("%s wrote %q: %v", task.ID, text, err)
		}
		all = append(all, l)
	}
	return all
}

// next waits for a line that is not written yet.
func next(t *testing.T, task *harness.Task) line {
	t.Helper()
	seen := len(lines(t, task))
	var l line
	harness.Eventually(t, func() error {
		all := lines(t, task)
		if len(all) <= seen {
			return fmt.Errorf("%s wrote no line after %d", task.ID, seen)
		}
		l = all[len(all)-1]
		return nil
	})
	return l
}

// commit commits the task and returns the snapshot's id.
func commit(t *testing.T, task *harness.Task, flags ...string) string {
	t.Helper()
	args := append([]string{"tasks", "commit"}, flags...)
	id := harness.LastLine(task.Node.Ateom(t, append(args, task.ID)...))
	if _, err := artifacts.ParseID(id); err != nil {
		t.Fatalf("the last line of commit's output is no snapshot id: %v", err)
	}
	return id
}

// wantSameLife fails the test unless now is later in the life that l is from.
func wantSameLife(t *testing.T, l, now line) {
	t.Helper()
	want := l
	want.count = now.count
	if now != want || now.count <= l.count {
		t.Errorf("the program says %+v; that is no later moment of the life that said %+v", now, l)
	}
}
