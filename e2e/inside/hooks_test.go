// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/ateom/ateom/e2e/harness"
)

// hooks are annotations whose commands write their moment into the log of the
// program, which is process 1.
func hooks(commands map[string]string) map[string]string {
	annotations := map[string]string{}
	for _, moment := range []string{"pre-save", "post-save", "post-restore"} {
		command := "echo " + moment + " > /proc/1/fd/1"
		if commands[moment] != "" {
			command = commands[moment]
		}
		annotations["ateom.dev/"+moment] = fmt.Sprintf(`[{"command":["sh","-c",%q],"timeoutSeconds":2}]`, command)
	}
	return annotations
}

// moments are the lines of the log that hooks have written.
func moments(t *testing.T, task *harness.Task) string {
	t.Helper()
	return strings.Join(strings.Fields(task.Log(t)), " ")
}

func wantMoments(t *testing.T, task *harness.Task, want string) {
	t.Helper()
	harness.Eventually(t, func() error {
		if got := moments(t, task); got != want {
			return fmt.Errorf("hooks ran as %q, want %q", got, want)
		}
		return nil
	})
}

func TestHooksRunAroundSaves(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	c := harness.Container{Args: []string{"sleep", "1000"}, Annotations: hooks(nil)}
	task := n.Run(t, c)
	ctx := n.Context(t)
	id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID))
	wantMoments(t, task, "pre-save post-save")
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	wantMoments(t, task, "pre-save post-save pre-save")
	// Nobody is there to be asked.
	n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID)
	wantMoments(t, task, "pre-save post-save pre-save")
	if err := task.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	wantMoments(t, task, "pre-save post-save pre-save post-restore")

	c.Annotations["ateom.dev/restore-from"], c.Annotations["ateom.dev/store"] = id, "dir"
	wantMoments(t, n.Run(t, c), "post-restore")
}

// A hook that fails, or does not end, fails the verb and nothing else; what was
// told to hold still is told to go on.
func TestAFailedHookFailsTheVerb(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	for name, tt := range map[string]struct{ command, says string }{
		"fails":            {"exit 7", "exit status 7"},
		"hangs":            {"sleep 1000", "it did not end within 2s"},
		"is not a command": {"exec /nonexistent", "exit status 127"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: hooks(map[string]string{"pre-save": tt.command})})
			err := task.Pause(n.Context(t))
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "ateom.dev/pre-save") || !strings.Contains(err.Error(), "it runs on") {
				t.Errorf("Pause = %v", err)
			}
			task.WantState(t, client.Running)
			wantMoments(t, task, "post-save")
			if r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--scope", "Full", task.ID}}); r.Code == 0 || !strings.Contains(r.Stderr, tt.says) {
				t.Errorf("commit ends with %d: %s", r.Code, r.Stderr)
			}
			wantMoments(t, task, "post-save post-save")
		})
	}
	t.Run("after the restore", func(t *testing.T) {
		t.Parallel()
		task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: hooks(map[string]string{"post-restore": "test -e /ready"})})
		ctx := n.Context(t)
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := task.Resume(ctx); err == nil || !strings.Contains(err.Error(), "ateom.dev/post-restore") || !strings.Contains(err.Error(), "it is paused again") {
				t.Errorf("Resume = %v", err)
			}
			task.WantState(t, client.Paused)
		}
	})
	t.Run("ignored", func(t *testing.T) {
		t.Parallel()
		annotations := map[string]string{}
		for _, moment := range []string{"pre-save", "post-restore"} {
			annotations["ateom.dev/"+moment] = `[{"command":["false"],"onFailure":"Ignore"}]`
		}
		task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: annotations})
		ctx := n.Context(t)
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// A hook that takes its time does not hold up who kills a container, of whichever
// container it is: its command ends with the verb.
func TestAKillEndsAHook(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	for moment, args := range map[string][]string{
		"pre-save":  {"tasks", "pause"},
		"post-save": {"tasks", "commit", "--scope", "Full"},
	} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			group := map[string]string{"io.containerd.ateom.v1.group": harness.NewID(t)}
			second := map[string]string{"io.containerd.ateom.v1.group": group["io.containerd.ateom.v1.group"]}
			group["ateom.dev/"+moment] = `[{"command":["sh","-c","echo hook > /proc/1/fd/1; exec sleep 4242"],"timeoutSeconds":600}]`
			task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: group})
			other := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: second})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				n.Do(t, harness.Command{Program: "ctr-ateom", Args: append(args, task.ID)})
			}()
			wantMoments(t, task, "hook")
			if code := other.KillAndWait(t, syscall.SIGKILL); code != 137 {
				t.Errorf("exit code %d, want 137", code)
			}
			<-ended
			task.WantState(t, client.Running)
			out, err := output(t, task, "sh", "-c", `cat /proc/[0-9]*/cmdline | tr '\0' ' '`)
			if err != nil || !strings.Contains(out, "sleep 1000") || strings.Contains(out, "sleep 4242") {
				t.Errorf("the container's processes are %q, %v", out, err)
			}
		})
	}
}

// A copy has the hostname of its own container, unless a program has set another one.
func TestACopyHasItsOwnHostname(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	c := harness.Container{Args: []string{"sleep", "1000"}, Opts: []oci.SpecOpts{oci.WithHostname("first")}}
	task := n.Run(t, c)
	id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID))
	c.Annotations = map[string]string{"ateom.dev/restore-from": id, "ateom.dev/store": "dir"}
	c.Opts = []oci.SpecOpts{oci.WithHostname("second")}
	clone := n.Run(t, c)
	for task, want := range map[*harness.Task]string{task: "first", clone: "second"} {
		if out, err := output(t, task, "hostname"); err != nil || strings.TrimSpace(out) != want {
			t.Errorf("hostname of %s is %q, %v; want %q", task.ID, out, err, want)
		}
	}
}
