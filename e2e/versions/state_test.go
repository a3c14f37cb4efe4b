// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package versions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// golden has what a release has left of a paused sandbox: the record in its bundle,
// its entry in the roster, the note beside its volumes and the manifest of its
// snapshot. Each format that gets another version gets another directory.
const golden = "testdata/state-1"

// The sandbox of the golden files.
const (
	goldenNamespace = "golden"
	goldenID        = "box"
	goldenSnapshot  = "01kjvktcgr2mg2e2vmxzdcagy2"
)

// diary is a container whose volume outlives it, and whose memory does not.
func diary(network *lab.Net) harness.Container {
	return harness.Container{
		Args:        []string{"sh", "-c", "cat /home/diary; echo new >>/home/diary; echo ready; sleep 1000"},
		Network:     network,
		Annotations: map[string]string{"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home"}]`, "ateom.dev/on-pause": "Data"},
	}
}

// shape lists the fields of a JSON text, with their types, and with the values of
// those that say how to read the others.
func shape(t *testing.T, text string) (fields []string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("decode %q: %v", text, err)
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if path == ".network" { // what the test's has is a matter of time; the record's golden file has all
			v = "…"
		}
		switch v := v.(type) {
		case map[string]any:
			for key, field := range v {
				walk(path+"."+key, field)
			}
		case []any:
			for _, element := range v {
				walk(path+"[]", element)
			}
		default:
			field := fmt.Sprintf("%s %T", path, v)
			if slices.Contains([]string{".version", ".format", ".scope", ".state"}, path) {
				field = fmt.Sprintf("%s %v", path, v)
			}
			fields = append(fields, field)
		}
	}
	walk("", v)
	slices.Sort(fields)
	return slices.Compact(fields)
}

// What a shim leaves of a paused sandbox is what the golden files say. A field that
// comes or goes is a matter for releases that read it: see the packages' golden files.
func TestStateIsWrittenAsTheGoldenFilesSay(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, diary(harness.NewNetwork(t)))
	task.AwaitLog(t, "ready")
	n.Ctr(t, "task", "pause", task.ID)
	id := pausedIn(t, n)
	for name, path := range map[string]string{
		"ateom.json":    filepath.Join(bundle(task), "ateom.json"),
		"state.json":    filepath.Join(n.Config.RunDir, "sandboxes", n.Namespace, task.ID, "state.json"),
		"manifest.json": filepath.Join(n.Config.StateDir, "snapshots", id, "manifest.json"),
	} {
		if diff := cmp.Diff(shape(t, harness.ReadFile(t, filepath.Join(golden, name))), shape(t, harness.ReadFile(t, path))); diff != "" {
			t.Errorf("%s (-golden +written):\n%s", name, diff)
		}
	}
	if note := harness.ReadFile(t, filepath.Join(n.Config.StateDir, "volumes", n.Namespace, task.ID, ".paused")); note != id {
		t.Errorf("the note beside the volumes says %q, want %q as the golden one does", note, id)
	}
}

// lay puts the golden files where that release has left them on a node, and returns
// the bundle of the sandbox.
func lay(t *testing.T, n *harness.Node) (bundle string) {
	t.Helper()
	bundle = filepath.Join(t.TempDir(), goldenID)
	volumes := filepath.Join(n.Config.StateDir, "volumes", goldenNamespace, goldenID)
	here := strings.NewReplacer("@RUN@", n.Config.RunDir, "@LIB@", n.Config.StateDir, "@RUNSC@", n.Config.Runsc, "@BUNDLE@", bundle)
	for path, text := range map[string]string{
		filepath.Join(bundle, "ateom.json"):                                                  here.Replace(harness.ReadFile(t, filepath.Join(golden, "ateom.json"))),
		filepath.Join(n.Config.RunDir, "sandboxes", goldenNamespace, goldenID, "state.json"): harness.ReadFile(t, filepath.Join(golden, "state.json")),
		filepath.Join(n.Config.StateDir, "snapshots", goldenSnapshot, "manifest.json"):       harness.ReadFile(t, filepath.Join(golden, "manifest.json")),
		filepath.Join(volumes, ".paused"):                                                    harness.ReadFile(t, filepath.Join(golden, "paused")),
		filepath.Join(volumes, "home", "diary"):                                              "old\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return bundle
}

// What an older release has left of a paused sandbox is cleaned up, whether its shim
// has died or its node was booted, and a sandbox that starts from its snapshot finds its
// volumes.
func TestStateOfAnOlderReleaseIsTakenOver(t *testing.T) {
	for _, how := range []string{"its shim has died", "its node was booted"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{})
			bundle := lay(t, n)
			scratch := filepath.Join(n.Config.RunDir, "sandboxes", goldenNamespace, goldenID)
			if how == "its shim has died" {
				shim, err := harness.Program(shimName)
				if err != nil {
					t.Fatal(err)
				}
				clean := osexec.Command(shim, "-namespace", goldenNamespace, "-id", goldenID, "-address", n.Address, "-bundle", bundle, "delete")
				clean.Dir = bundle
				if out, err := clean.CombinedOutput(); err != nil {
					t.Fatalf("clean up: %v\n%s", err, out)
				}
				if _, err := os.Stat(scratch); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the sandbox's volatile files are there: %v", err)
				}
				if text := harness.ReadFile(t, filepath.Join(n.Config.StateDir, "lost", goldenSnapshot, "home", "diary")); text != "old\n" {
					t.Errorf("the volume that was set aside holds %q", text)
				}
			} else if err := os.RemoveAll(n.Config.RunDir); err != nil {
				t.Fatal(err)
			}
			n.Ateom(t, "snapshots", "verify", "--deep", "--store", "local", goldenSnapshot)

			c := diary(harness.NewNetwork(t))
			n.Want(t, images.Busybox)
			id := harness.NewID(t)
			woken := n.Named(t, id)
			args := []string{"run", "--detach", "--from", goldenSnapshot, "--store", "local", "--log-uri", "file://" + woken.LogPath, "--with-ns", "network:" + c.Network.Path}
			for key, value := range c.Annotations {
				args = append(args, "--annotation", key+"="+value)
			}
			n.Ateom(t, append(append(args, images.Busybox.Ref, id), c.Args...)...)
			woken.Reload(t)
			woken.AwaitLog(t, "ready")
			if log := woken.Log(t); log != "old\nready\n" {
				t.Errorf("the woken sandbox says %q, want what its volume holds", log)
			}
			n.Ctr(t, "task", "pause", woken.ID)
			n.Ctr(t, "task", "resume", woken.ID)
			woken.AwaitLog(t, "old\nnew\nready\n")
			if _, err := os.Stat(scratch); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old sandbox's volatile files are there: %v", err)
			}
		})
	}
}
