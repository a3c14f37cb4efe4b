// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package versions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A build is a runsc in a directory of its own, with its sentry.
type build struct{ path, sha256 string }

// Builds of the same source: the one that is under test, and one that calls
// itself another release.
var (
	pinned = [2]string{"runsc", "gvisor-bin/gvisor_sentry"}
	other  = [2]string{"runsc-other", "gvisor_sentry-other"}
)

// install copies a build of runsc, as a node has it: runsc and gvisor-bin/.
func install(t *testing.T, dir string, programs [2]string) build {
	t.Helper()
	b := build{path: filepath.Join(dir, "runsc")}
	if err := os.MkdirAll(filepath.Join(dir, "gvisor-bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.sha256 = replace(t, b.path, programs[0])
	replace(t, filepath.Join(dir, "gvisor-bin", "gvisor_sentry"), programs[1])
	return b
}

// replace puts a program at a path, as a package manager does: by a rename.
func replace(t *testing.T, path, program string) (sum string) {
	t.Helper()
	from, err := harness.Program(program)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// madeBy returns the checksum of the runsc that made a snapshot.
func madeBy(t *testing.T, n *harness.Node, id string) string {
	t.Helper()
	var answer struct{ Manifest *artifacts.Manifest }
	if err := json.Unmarshal([]byte(n.Ateom(t, "snapshots", "inspect", "--json", "--store", "dir", id)), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Manifest.Runtime.SHA256
}

func commit(t *testing.T, s *harness.Service, scope string) (id string) {
	t.Helper()
	return harness.LastLine(s.Node.Ateom(t, "tasks", "commit", "--scope", scope, s.ID))
}

// A Full snapshot wakes up under the build that made it, whatever the node's
// default is; a Data snapshot under any.
func TestSnapshotsWakeUpUnderTheBuildThatMadeThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := install(t, filepath.Join(dir, "one"), pinned), install(t, filepath.Join(dir, "two"), other)
	if one.sha256 == two.sha256 {
		t.Fatal("the two builds are the same")
	}
	store := map[string]config.Store{"dir": {URL: "file://" + filepath.Join(dir, "store")}}
	node := func(b build, others ...build) *harness.Node {
		c := config.Config{Runsc: b.path, Stores: store, DefaultStore: "dir"}
		for _, o := range others {
			c.RunscBuilds = append(c.RunscBuilds, config.RunscBuild{Path: o.path, SHA256: o.sha256})
		}
		return harness.NewNode(t, harness.Config{Config: c})
	}
	durable := map[string]string{"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home"}]`}
	container := func() harness.Container {
		return harness.ServiceContainer(harness.NewNetwork(t), 8, durable, "/home")
	}

	first := node(one)
	s := first.RunService(t, container())
	full, data := commit(t, s, "Full"), commit(t, s, "Data")
	last := s.Ask(t)
	if got := madeBy(t, first, full); got != one.sha256 {
		t.Errorf("the snapshot says that %s made it, want %s", got, one.sha256)
	}

	second := node(two, one)
	woken := second.Wake(t, container(), full, "dir", true)
	woken.WantSame(t, last)
	// It goes on under the build that it woke up under, also through a pause.
	second.Ctr(t, "task", "pause", woken.ID)
	second.Ctr(t, "task", "resume", woken.ID)
	woken.WantSame(t, woken.Last())
	if got := madeBy(t, second, commit(t, woken, "Full")); got != one.sha256 {
		t.Errorf("the woken sandbox runs under %s, want %s", got, one.sha256)
	}
	fresh := second.RunService(t, container())
	if got := madeBy(t, second, commit(t, fresh, "Full")); got != two.sha256 {
		t.Errorf("a new sandbox runs under %s, want the default %s", got, two.sha256)
	}

	third := node(two)
	third.Want(t, container().Image)
	c := container()
	args := append([]string{"run", "--detach", "--from", full, "--store", "dir", "--with-ns", "network:" + c.Network.Path}, c.Image.Ref, "refused")
	r := third.Do(t, harness.Command{Program: "ctr-ateom", Args: append(args, c.Args...)})
	if r.Code != 4 || !strings.Contains(r.Stderr, one.sha256) || !strings.Contains(r.Stderr, "runsc-builds") || strings.Contains(r.Stderr, "panic") {
		t.Errorf("a snapshot whose build the node lacks: exit code %d, %s", r.Code, r.Stderr)
	}
	cold := third.Wake(t, container(), data, "dir", true)
	cold.Ask(t)
}

// A node's runsc may be replaced while sandboxes run and sleep: none is put to
// sleep that could not wake up, and those that sleep wake up as soon as the
// configuration says where their build is.
func TestRunscMayBeReplacedUnderSandboxes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := install(t, filepath.Join(dir, "current"), pinned)
	n := harness.NewNode(t, harness.Config{Config: config.Config{Runsc: old.path}})
	asleep := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 8, nil))
	awake := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 8, nil))
	n.Ctr(t, "task", "pause", asleep.ID)

	install(t, filepath.Join(dir, "current"), other)
	for verb, s := range map[string]*harness.Service{"resume": asleep, "pause": awake} {
		r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", verb, s.ID}})
		if r.Code != 4 || !strings.Contains(r.Stderr, old.sha256) {
			t.Errorf("%s without the build: exit code %d, %s", verb, r.Code, r.Stderr)
		}
	}
	asleep.WantState(t, client.Paused)
	awake.WantState(t, client.Running)
	awake.WantSame(t, awake.Last())

	kept := install(t, filepath.Join(dir, "kept"), pinned)
	text := harness.ReadFile(t, n.ConfigPath()) + "\n[[runsc-builds]]\npath = \"" + kept.path + "\"\nsha256 = \"" + kept.sha256 + "\"\n"
	if err := os.WriteFile(n.ConfigPath(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*harness.Service{asleep, awake} {
		if s == awake {
			n.Ctr(t, "task", "pause", s.ID)
		}
		n.Ctr(t, "task", "resume", s.ID)
		s.WantSame(t, s.Last())
	}
}
