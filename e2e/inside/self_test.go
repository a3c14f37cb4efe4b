// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// asker asks for what its arguments say, and tells what it learns: in the
// sandbox that asked, and in every copy of it. gVisor's own file tells when a
// save is over and on which side of it the program is.
const asker = `
import sys, time, os
dir = "/run/ateom/"
def read(name):
    with open(dir + name) as f: return f.read().strip()
def say(*words): print(*words, flush=True)
id, verb = sys.argv[1], sys.argv[2]
was = read("generation")
say("generation", was)
gate = open("/proc/gvisor/checkpoint", "rb", buffering=0)
with open(dir + "request", "w") as f: f.write(id + " " + verb + "\n")
deadline = time.monotonic() + 60
answer = ""
while time.monotonic() < deadline:
    try: answer = read("answer")
    except FileNotFoundError: answer = ""
    if answer.startswith(id) or read("generation") != was: break
    time.sleep(0.01)
say("answer", read("answer"))
say("generation", read("generation"))
say("snapshot", read("snapshot"))
say("copies", read("copies"))
if "refused" not in answer:
    say("gvisor", gate.read(10).decode().strip())
say("done")
time.sleep(1000)
`

func ask(id, request, allowed string) harness.Container {
	return harness.Container{
		Image: images.Debian, Args: []string{"python3", "-c", asker, id, request},
		Annotations: map[string]string{"ateom.dev/inside": "/run/ateom", "ateom.dev/self": allowed},
	}
}

// learned waits until the program is done and returns what it said, by the
// first word; a word that comes twice has the last value.
func learned(t *testing.T, task *harness.Task) map[string]string {
	t.Helper()
	task.AwaitLog(t, "done")
	found := map[string]string{}
	for _, line := range strings.Split(task.Log(t), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		found[word] = rest
	}
	return found
}

var generation = regexp.MustCompile(`(?m)^generation ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$`)

// A program commits its own sandbox and learns the snapshot's id; each copy
// learns that it is one, which one, and that its memory runs anew.
func TestAProgramCommitsItself(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	c := ask("one", "Commit Full", "Commit")
	task := n.Run(t, c)
	got := learned(t, task)
	id, ok := strings.CutPrefix(got["answer"], "one resumed ")
	if !ok || got["gvisor"] != "resume" || got["snapshot"] != "" || got["copies"] != "0" {
		t.Fatalf("the original learned %q", got)
	}
	generations := map[string]bool{}
	note := func(task *harness.Task, want int) {
		t.Helper()
		found := generation.FindAllStringSubmatch(task.Log(t), -1)
		if len(found) != want {
			t.Fatalf("generations %q, want %d of them", found, want)
		}
		generations[found[len(found)-1][1]] = true
	}
	note(task, 2)
	for i := range 2 {
		c.Annotations["ateom.dev/restore-from"], c.Annotations["ateom.dev/store"] = id, "dir"
		clone := n.Run(t, c)
		got := learned(t, clone)
		if got["answer"] != "- restored "+id || got["gvisor"] != "restore" || got["snapshot"] != id || got["copies"] != fmt.Sprint(i+1) {
			t.Errorf("copy %d learned %q", i, got)
		}
		note(clone, 1) // what was said before the snapshot is in the original's log
	}
	if len(generations) != 3 {
		t.Errorf("generations %v, want three different ones", generations)
	}
}

// A program pauses its own sandbox, and learns of it when it was resumed.
func TestAProgramPausesItself(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, ask("nap", "Pause", "Commit,Pause"))
	task.AwaitState(t, client.Paused)
	if left := task.Processes(t); len(left) > 0 {
		t.Errorf("processes while paused: %q", left)
	}
	if err := task.Resume(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	got := learned(t, task)
	if id, ok := strings.CutPrefix(got["answer"], "nap resumed "); !ok || got["gvisor"] != "restore" || got["snapshot"] != id {
		t.Errorf("the program learned %q", got)
	}
	if found := generation.FindAllStringSubmatch(task.Log(t), -1); len(found) != 2 || found[0][1] == found[1][1] {
		t.Errorf("generations %q, want two different ones", found)
	}
}

func TestWhatIsNotAllowedIsRefused(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	t.Run("another verb", func(t *testing.T) {
		t.Parallel()
		task := n.Run(t, ask("no", "Pause", "Commit"))
		if got := learned(t, task); !strings.HasPrefix(got["answer"], "no refused EPERM Pause is not allowed") {
			t.Errorf("the program learned %q", got)
		}
		task.WantState(t, client.Running)
	})
	t.Run("no request", func(t *testing.T) {
		t.Parallel()
		task := n.Run(t, ask("no", "Delete everything", "Commit"))
		harness.Eventually(t, func() error {
			out, err := output(t, task, "cat", "/run/ateom/answer")
			if err != nil || !strings.HasPrefix(out, "- refused EINVAL want a line") {
				return fmt.Errorf("answer %q, %v", out, err)
			}
			return nil
		})
	})
	t.Run("nothing allowed", func(t *testing.T) {
		t.Parallel()
		task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{"ateom.dev/inside": "/run/ateom"}})
		for _, command := range []string{
			"echo one Pause > /run/ateom/request", "echo x > /run/ateom/generation", "rm /run/ateom/request", "touch /run/ateom/x", "echo 1 > /proc/gvisor/checkpoint",
		} {
			if out, err := output(t, task, "sh", "-c", command); err == nil {
				t.Errorf("%s succeeded: %q", command, out)
			}
		}
		task.WantState(t, client.Running)
	})
}

// errnos tries to write where a program may ask for a save, as root and as nobody,
// and says what each attempt ends with.
const errnos = `
import errno, os
def attempt(path):
    try:
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, b"one Pause\n")
        print(os.getuid(), path, "OK")
    except OSError as e:
        print(os.getuid(), path, errno.errorcode[e.errno])
for uid in 0, 65534:
    os.setuid(uid)
    attempt("/proc/gvisor/checkpoint")
    attempt("/run/ateom/request")
print("done", flush=True)
import time; time.sleep(1000)
`

// What is not allowed ends as system calls do: with EPERM where gVisor's own file
// is asked, with EROFS or EACCES where ours is read-only, with EPERM in the answer
// where another verb is allowed.
func TestWhatIsNotAllowedIsAnError(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	both := func(word string) map[string]string { return map[string]string{"0": word, "65534": word} }
	for name, c := range map[string]struct {
		annotations map[string]string
		// request is what root and nobody get that write one.
		request map[string]string
	}{
		"no annotation": {nil, both("ENOENT")},
		"to read alone": {map[string]string{"ateom.dev/inside": "/run/ateom"}, map[string]string{"0": "EROFS", "65534": "EACCES"}},
		"another verb":  {map[string]string{"ateom.dev/inside": "/run/ateom", "ateom.dev/self": "Commit"}, both("OK")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := n.Run(t, harness.Container{Image: images.Debian, Args: []string{"python3", "-c", errnos}, Annotations: c.annotations})
			task.AwaitLog(t, "done")
			for uid, request := range c.request {
				for path, want := range map[string]string{"/proc/gvisor/checkpoint": "EPERM", "/run/ateom/request": request} {
					if line := uid + " " + path + " " + want + "\n"; !strings.Contains(task.Log(t), line) {
						t.Errorf("want %q in:\n%s", line, task.Log(t))
					}
				}
			}
			if c.request["0"] == "OK" {
				harness.Eventually(t, func() error {
					if out, err := output(t, task, "cat", "/run/ateom/answer"); err != nil || !strings.HasPrefix(out, "one refused EPERM Pause is not allowed here") {
						return fmt.Errorf("answer %q, %v", out, err)
					}
					return nil
				})
			}
			task.WantState(t, client.Running)
		})
	}
}

// The second of two requests that follow each other is refused, and fails
// nothing.
func TestRequestsAreLimited(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
		"ateom.dev/inside": "/run/ateom", "ateom.dev/self": "Commit",
	}})
	script := func(id string) string {
		return fmt.Sprintf("echo %[1]s Commit > /run/ateom/request; until grep -q '^%[1]s ' /run/ateom/answer 2>/dev/null; do sleep 0.01; done; cat /run/ateom/answer", id)
	}
	out, err := output(t, task, "sh", "-c", script("a")+"; "+script("b"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "a resumed ") || !strings.HasPrefix(lines[1], "b refused EAGAIN the last request was a moment ago") {
		t.Errorf("answers %q", lines)
	}
}

// However much is written where requests go, the node is not filled.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
		"ateom.dev/inside": "/run/ateom", "ateom.dev/self": "Commit",
	}})
	if out, err := output(t, task, "sh", "-c", "dd if=/dev/zero of=/run/ateom/request bs=4096 count=64"); err == nil {
		t.Errorf("256 KiB were written: %s", out)
	}
	harness.Eventually(t, func() error {
		out, err := output(t, task, "cat", "/run/ateom/answer")
		if err != nil || !strings.HasPrefix(out, "- refused") {
			return fmt.Errorf("answer %q, %v", out, err)
		}
		return nil
	})
}

// What the shim has mounted for requests goes with it, however it ends; the
// harness finds what is left.
func TestADeadShimLeavesNoMount(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
		"ateom.dev/inside": "/run/ateom", "ateom.dev/self": "Commit",
	}})
	if !strings.Contains(harness.ReadFile(t, "/proc/self/mounts"), n.Config.RunDir+"/sandboxes/") {
		t.Fatal("there is no mount that could be left")
	}
	task.KillShim(t)
	harness.Eventually(t, func() error {
		mounts := harness.ReadFile(t, "/proc/self/mounts")
		if strings.Contains(mounts, n.Config.RunDir+"/sandboxes/") {
			return fmt.Errorf("mounts of the dead shim:\n%s", mounts)
		}
		// containerd is done with it when it has no bundle any more.
		bundles, err := filepath.Glob(filepath.Join(n.Dir, "state", "io.containerd.runtime.v2.task", "*", task.ID))
		if err != nil || len(bundles) > 0 {
			return fmt.Errorf("bundles %q, %v", bundles, err)
		}
		return nil
	})
}
