// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/harness"
)

// goroutines are those of a process, by the function that has started them: the stack of
// each. Where one stands changes, who has started it does not.
type goroutines map[string][]string

var createdBy = regexp.MustCompile(`(?m)^created by (\S+)`)

func parseStacks(text string) goroutines {
	all := goroutines{}
	for stack := range strings.SplitSeq(text, "\n\n") {
		if !strings.HasPrefix(stack, "goroutine ") {
			continue
		}
		by := "the process itself"
		if m := createdBy.FindStringSubmatch(stack); m != nil {
			by = m[1]
		}
		all[by] = append(all[by], stack)
	}
	return all
}

// grown returns an error that names the goroutines of which there are more than there were.
func (g goroutines) grown(was goroutines) error {
	var errs []error
	for by, stacks := range g {
		if before := len(was[by]); len(stacks) > before {
			errs = append(errs, fmt.Errorf("%d goroutines, there were %d, that %s has started; one of them:\n%s", len(stacks), before, by, stacks[len(stacks)-1]))
		}
	}
	return errors.Join(errs...)
}

// dump has a process of the node, containerd or a shim, write where its goroutines are, and
// waits until done has found that in what the node's log says from then on.
func dump(n *harness.Node, pid int, done func(log string) error) error {
	from, err := os.Stat(n.LogPath())
	if err != nil {
		return err
	}
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		return err
	}
	return harness.Poll(func() error {
		log, err := os.ReadFile(n.LogPath())
		if err != nil {
			return err
		}
		return done(string(log[from.Size():]))
	})
}

// ofShim returns the goroutines of a shim, which has them in the log.
func ofShim(n *harness.Node, shim int) (found goroutines, err error) {
	err = dump(n, shim, func(log string) error {
		_, told, _ := strings.Cut(log, ` msg="goroutines:`)
		quoted, _, whole := strings.Cut(told, `" runtime=`)
		if !whole {
			return errors.New("the shim has not told of its goroutines")
		}
		text, err := strconv.Unquote(`"` + quoted + `"`)
		found = parseStacks(strings.TrimPrefix(text, "\n"))
		return err
	})
	return found, err
}

// ofContainerd returns those of the node's containerd, which has them in a file of its
// temporary directory too.
func ofContainerd(n *harness.Node) (goroutines, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("containerd.%d.stacks.log", n.PID()))
	err := dump(n, n.PID(), func(log string) error {
		if !strings.Contains(log, "goroutine stack dump written to "+path) {
			return errors.New("containerd has not told of its goroutines")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	b, err := os.ReadFile(path)
	return parseStacks(string(b)), err
}

// threadSlack is how many more threads a shim may have in the end. Go keeps those that it had
// to make when several goroutines were in system calls at once.
const threadSlack = 3

// settleLimit is how long what a verb has started may take to end.
const settleLimit = 10 * time.Second

// All verbs again and again, and executions of processes, leave no goroutine in the shim
// and in containerd, no thread, and nothing of what a node has.
func TestVerbsLeaveNoGoroutineBehind(t *testing.T) {
	cycles := number(t, cyclesEnv, 6)
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{
		Args: []string{"sleep", "100000"}, Annotations: map[string]string{"ateom.dev/durable-dirs": `[{"name":"data","mountPath":"/data"}]`},
	})
	shim := task.Shim(t)
	cycle := func() {
		t.Helper()
		for _, scope := range []artifacts.Scope{artifacts.Full, artifacts.Data} {
			n.Ateom(t, "tasks", "commit", "--scope", string(scope), task.ID)
		}
		n.Ctr(t, "task", "exec", "--exec-id", harness.NewID(t), task.ID, "true")
		n.Ateom(t, "tasks", "pause", task.ID)
		n.Ateom(t, "tasks", "commit", task.ID)
		n.Ateom(t, "tasks", "status", task.ID)
		n.Ctr(t, "task", "ls")
		n.Ctr(t, "task", "metrics", task.ID)
		n.Ateom(t, "tasks", "resume", task.ID)
	}
	cycle()
	cycle()
	before := hold(t, task, holdings{})
	inShim, err := ofShim(n, shim)
	if err != nil {
		t.Fatal(err)
	}
	inContainerd, err := ofContainerd(n)
	if err != nil {
		t.Fatal(err)
	}
	threads := threadsOf(t, shim)
	t.Logf("%d kinds of goroutines in the shim, %d in containerd; %d threads", len(inShim), len(inContainerd), threads)
	for range cycles {
		cycle()
	}
	if after := hold(t, task, before); after.over(before) {
		t.Errorf("there were %+v, after %d cycles there are %+v", before, cycles, after)
	}
	for name, c := range map[string]struct {
		was goroutines
		now func() (goroutines, error)
	}{
		"the shim":   {inShim, func() (goroutines, error) { return ofShim(n, shim) }},
		"containerd": {inContainerd, func() (goroutines, error) { return ofContainerd(n) }},
	} {
		left := harness.PollFor(settleLimit, time.Second, func() error {
			now, err := c.now()
			return errors.Join(err, now.grown(c.was))
		})
		if left != nil {
			t.Errorf("%d cycles leave in %s: %v", cycles, name, left)
		}
	}
	if now := threadsOf(t, shim); now > threads+threadSlack {
		t.Errorf("the shim has %d threads, it had %d", now, threads)
	}
}

func threadsOf(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
