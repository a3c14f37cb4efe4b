// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/shim/config"
)

// goldenScript is a program that is warm long before it knows whose it will be: it
// looks into its DurableDir when there is /root/ask, and not before. Its lines
// are those of script.
const goldenScript = `
nonce=$(tr -dc a-f0-9 </dev/urandom | head -c 16)
echo $nonce >/root/mark
n=0
while :; do
	n=$((n+1))
	data=-
	[ ! -e /root/ask ] || read data </data/mark
	echo $nonce $n $nonce $data
	usleep 100000
done`

// golden are the flags that start from a golden snapshot's memory with the
// DurableDirs of another one.
func golden(memory, volumes string) []string {
	return []string{"--from", volumes, "--annotation", "ateom.dev/on-resume=Golden", "--annotation", "ateom.dev/golden=" + memory}
}

// guestSh runs a command in the task's container.
func guestSh(t *testing.T, task *harness.Task, command string) string {
	t.Helper()
	return strings.TrimSpace(task.Node.Ctr(t, "tasks", "exec", "--exec-id", harness.NewID(t), task.ID, "sh", "-e", "-c", command))
}

// asked has the golden program look into its DurableDir and returns what it says then.
func asked(t *testing.T, task *harness.Task) line {
	t.Helper()
	guestSh(t, task, "touch /root/ask")
	var l line
	harness.Eventually(t, func() error {
		if l = next(t, task); l.data == "-" {
			return fmt.Errorf("%s has not looked into its DurableDir", task.ID)
		}
		return nil
	})
	return l
}

// A goldenWorld is a golden snapshot and two sandboxes that were started from it
// on another node.
type goldenWorld struct {
	a, b *harness.Node
	warm *harness.Task
	// was is what the golden program said before it was committed; memory is the
	// snapshot.
	was    line
	memory string
	// woken are the sandboxes, and owners what the programs said whose DurableDirs
	// they have.
	woken  []*harness.Task
	owners []line
}

// One golden snapshot gives its memory to many sandboxes; each has DurableDirs of
// its own under it, and all verbs work on it.
func TestAGoldenSnapshotRunsOverTheDurableDirsOfAnother(t *testing.T) {
	t.Run("gofer", func(t *testing.T) { wantVerbsOnGolden(t, wakeGolden(t, config.Gofer)) })
	t.Run("files", func(t *testing.T) { wakeGolden(t, config.Files) })
}

// wakeGolden starts two sandboxes from a golden snapshot, over the DurableDirs of
// a Data and of a Full one, and fails the test unless each has its own.
func wakeGolden(t *testing.T, how config.CheckpointIO) *goldenWorld {
	t.Helper()
	w := &goldenWorld{}
	w.a, w.b = twoNodes(t, how)

	w.warm = startScript(t, w.a, goldenScript)
	guestSh(t, w.warm, "echo golden >/data/mark; echo golden >/data/only-golden")
	w.was = next(t, w.warm)
	w.memory = commit(t, w.warm, "--scope", "Full")
	for _, scope := range []string{"Data", "Full"} {
		owner := start(t, w.a)
		w.owners = append(w.owners, next(t, owner))
		volumes := commit(t, owner, "--scope", scope)
		owner.Remove(t)
		task := startScript(t, w.b, goldenScript, golden(w.memory, volumes)...)
		wantSameLife(t, w.was, next(t, task))
		w.woken = append(w.woken, task)
	}
	for i, task := range w.woken {
		if now := asked(t, task); now.nonce != w.was.nonce || now.data != w.owners[i].data {
			t.Errorf("the program says %+v, want the memory of %+v and the data %s", now, w.was, w.owners[i].data)
		}
		if got := guestSh(t, task, "ls -A /data"); got != "mark" {
			t.Errorf("the DurableDir holds %q, want its own mark and nothing of the golden one", got)
		}
	}
	return w
}

// wantVerbsOnGolden fails the test unless a sandbox that started from a golden
// snapshot is one like any other.
func wantVerbsOnGolden(t *testing.T, w *goldenWorld) {
	t.Helper()
	first, second := w.woken[0], w.woken[1]
	guestSh(t, first, "echo written >/data/new; mv /data/new /data/mark")
	harness.Eventually(t, func() error {
		if l := next(t, first); l.data != "written" {
			return fmt.Errorf("the program reads %q, not what was written", l.data)
		}
		return nil
	})
	if now := next(t, second); now.data != w.owners[1].data {
		t.Errorf("the second one's data became %s when the first wrote", now.data)
	}
	last := next(t, first)
	w.b.Ctr(t, "tasks", "pause", first.ID)
	w.b.Ctr(t, "tasks", "resume", first.ID)
	wantSameLife(t, last, next(t, first))
	data, full := commit(t, first, "--scope", "Data"), commit(t, first, "--scope", "Full")
	first.Remove(t)
	wantSameLife(t, last, next(t, startScript(t, w.a, goldenScript, "--from", full)))
	if now := next(t, start(t, w.a, "--from", data)); now.data != "written" {
		t.Errorf("a cold boot over the DurableDir reads %s, want what was written", now.data)
	}
	again := asked(t, startScript(t, w.a, goldenScript, golden(w.memory, data)...))
	if again.nonce != w.was.nonce || again.data != "written" {
		t.Errorf("started from the golden snapshot again, the program says %+v", again)
	}
	if got := guestSh(t, w.warm, "cat /data/mark"); got != "golden" {
		t.Errorf("the golden sandbox's own mark became %s", got)
	}
}

// What cannot be started from is refused with a sentence that says why, and
// leaves nothing; both snapshots are as good as before.
func TestWhatIsNoGoldenSnapshotIsRefused(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	n.Want(t, images.Busybox)
	owner := start(t, n)
	mark := next(t, owner).data
	data := commit(t, owner, "--scope", "Data")

	// What runs is compared before open files are looked for.
	holdingScript := "exec 5<>/data/opened; " + goldenScript
	open := startScript(t, n, holdingScript)
	next(t, open)
	holding := commit(t, open, "--scope", "Full")
	const nobody = "01arz3ndektsv4rrffq69g5fav"
	for _, c := range []struct{ name, script, memory, says string }{
		{"a Data snapshot", goldenScript, data, "it is of scope Data, not Full"},
		{"no snapshot", goldenScript, nobody, nobody},
		{"one with an open file that the volume lacks", holdingScript, holding, `failed to walk "opened"`},
		{"one of another program", goldenScript, holding, "its command was"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task, r := tryStart(t, n, c.script, golden(c.memory, data)...)
			if r.Code == 0 || !strings.Contains(r.Stderr, c.says) {
				t.Errorf("exit code %d, and it says %q; want a refusal that says %q", r.Code, r.Stderr, c.says)
			}
			if left := task.Processes(t); len(left) > 0 {
				t.Errorf("processes left: %q", left)
			}
		})
	}
	warm := startScript(t, n, goldenScript)
	next(t, warm)
	if now := asked(t, startScript(t, n, goldenScript, golden(commit(t, warm, "--scope", "Full"), data)...)); now.data != mark {
		t.Errorf("the data is %s after the refusals, want %s", now.data, mark)
	}
}
