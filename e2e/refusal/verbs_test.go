// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/shim/roster"
)

// A refused is a command that must fail.
type refused struct {
	name string
	args []string
	code int
	word string // of the error's class, which stands for its gRPC code
	says []string
}

// check runs the command, with --json where that is known, and compares.
func (r refused) check(t *testing.T, n *harness.Node) {
	t.Helper()
	before := everything(t, n)
	got := n.Do(t, harness.Command{Program: "ctr-ateom", Args: r.args})
	if got.Code != r.code {
		t.Errorf("%q ends with %d, want %d\n%s%s", r.args, got.Code, r.code, got.Stdout, got.Stderr)
	}
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(got.Stdout), &answer); err != nil {
		t.Fatalf("%q --json wrote %q and %q: %v", r.args, got.Stdout, got.Stderr, err)
	}
	if answer.Error.Code != r.word {
		t.Errorf("%q fails as %q, want %q", r.args, answer.Error.Code, r.word)
	}
	wantSentence(t, answer.Error.Message, r.says)
	wantUnchanged(t, n, before)
}

func TestVerbsThatCannotBeAreRefused(t *testing.T) {
	// The unreachable bucket is to fail for no other reason.
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	n := harness.NewNode(t, harness.Config{})
	running := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	paused := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	n.Ateom(t, "tasks", "pause", paused.ID)
	stopped := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	stopped.KillAndWait(t, syscall.SIGKILL)
	awaitNoted(t, n, map[string]string{running.ID: "running", paused.ID: "paused", stopped.ID: "stopped"})

	for _, r := range []refused{
		{"resume of a running task", []string{"tasks", "resume", "--json", running.ID}, exit.State, "failed_precondition", []string{running.ID, "running"}},
		{"pause of a stopped task", []string{"tasks", "pause", "--json", stopped.ID}, exit.State, "failed_precondition", []string{stopped.ID, "no running container"}},
		{"commit of a stopped task", []string{"tasks", "commit", "--json", stopped.ID}, exit.State, "failed_precondition", []string{stopped.ID, "no running container"}},
		{"commit of no task", []string{"tasks", "commit", "--json", "nobody"}, exit.NotFound, "not_found", []string{"nobody"}},
		{"unknown scope", []string{"tasks", "commit", "--json", "--scope", "Half", running.ID}, exit.Usage, "invalid_argument", []string{"Half", "Full", "Data"}},
		{"unknown store", []string{"tasks", "commit", "--json", "--store", "nowhere", running.ID}, exit.NotFound, "not_found", []string{"nowhere"}},
		{"store of an unknown kind", []string{"tasks", "commit", "--json", "--store", "ftp://somewhere", running.ID}, exit.Usage, "invalid_argument", []string{"ftp"}},
		{"bucket that nobody serves", []string{"tasks", "commit", "--json", "--store", "s3://b?region=x&use_path_style=true&endpoint=http://127.0.0.1:1", running.ID}, exit.Unavailable, "unavailable", []string{"s3://b"}},
		{"snapshot that is not there", []string{"snapshots", "inspect", "--json", "--store", "dir", "01arz3ndektsv4rrffq69g5fav"}, exit.NotFound, "not_found", []string{"01arz3ndektsv4rrffq69g5fav"}},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, n) })
	}
	// None of it has moved a sandbox.
	for _, want := range []struct {
		task  *harness.Task
		state string
	}{{running, "running"}, {paused, "paused"}, {stopped, "stopped"}} {
		if got := want.task.SandboxState(t); got != want.state {
			t.Errorf("%s is %s, want %s", want.task.ID, got, want.state)
		}
	}
	n.Ateom(t, "tasks", "resume", paused.ID)
}

// awaitNoted waits until the node's roster says what has happened: a verb's
// answer does not wait for it.
func awaitNoted(t *testing.T, n *harness.Node, want map[string]string) {
	t.Helper()
	harness.Eventually(t, func() error {
		entries, err := roster.List(n.Config.RunDir)
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, e := range entries {
			got[e.Sandbox] = e.State
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("the roster (-want +got):\n%s", diff)
		}
		return nil
	})
}

// A snapshot whose manifest never came is none, whatever else is there; one
// that was damaged is refused, and the object named.
func TestHalfAndDamagedSnapshotsAreRefused(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	n.Want(t, images.Busybox)
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	for _, c := range []struct {
		name   string
		damage func(dir, manifest string) error
		says   []string
	}{
		{"manifest missing", func(_, manifest string) error { return os.Remove(manifest) }, nil},
		{"manifest torn", func(_, manifest string) error { return os.Truncate(manifest, 100) }, []string{"manifest.json"}},
		{"packs missing", func(dir, _ string) error { return os.RemoveAll(filepath.Join(dir, "packs")) }, []string{"packs/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID))
			manifest := filepath.Join(storeDir(n), "snapshots", id, "manifest.json")
			if err := c.damage(storeDir(n), manifest); err != nil {
				t.Fatal(err)
			}
			// Not from the node's own copy.
			if err := os.RemoveAll(filepath.Join(n.Config.StateDir, "snapshots", id)); err != nil {
				t.Fatal(err)
			}
			woken := harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{"ateom.dev/restore-from": id}}
			_, err := n.TryRun(t, woken)
			if err == nil {
				t.Fatal("a task started from it")
			}
			wantSentence(t, err.Error(), append(c.says, id))
		})
	}
}
