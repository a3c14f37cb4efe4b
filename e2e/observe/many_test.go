// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ateom-agent/traces/tracestest"
	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// manyEnv says how many sandboxes sleep at once; make many sets 200.
const manyEnv = "ATEOM_MANY"

const (
	fewEnough = 16
	// atOnce is how many verbs are under way at the same time.
	atOnce = 4
	// privateLimit is what a sleeping shim may hold that no file backs.
	privateLimit = 6 << 20
)

// holding tells a number that only its memory holds, now and on each USR1.
const holding = `n=$(cat /proc/sys/kernel/random/uuid); echo "first $n"; trap 'echo "again $n"' USR1; while :; do sleep 1000 & wait; done`

// Many sandboxes sleep on one node: they cost disk, little memory and no time,
// and each can be listed, committed and resumed.
func TestManyAsleep(t *testing.T) {
	count := fewEnough
	if text := os.Getenv(manyEnv); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", manyEnv, err)
		}
	}
	n := harness.NewNode(t, harness.Config{})
	a := startAgent(t, n, tracestest.New(t))
	tasks := make([]*harness.Task, count)
	for i := range tasks {
		tasks[i] = n.Run(t, harness.Container{Args: []string{"sh", "-c", holding}})
		tasks[i].AwaitLog(t, "first ")
	}
	began := time.Now()
	each(t, tasks, func(task *harness.Task) error { return try(t, n, "tasks", "pause", task.ID) })
	t.Logf("%d sandboxes paused in %s", count, time.Since(began).Round(time.Millisecond))
	a.want(t, fmt.Sprintf(`ateom_sandboxes{state="paused"} %d`, count), `ateom_sandboxes{state="running"} 0`)
	if list := n.Ctr(t, "task", "ls"); strings.Count(list, "PAUSED") != count {
		t.Errorf("ctr task ls shows %d paused ones, want %d:\n%s", strings.Count(list, "PAUSED"), count, list)
	}
	shims := weigh(t, tasks)
	wantAsleep(t, shims)

	r := rand.New(rand.NewPCG(uint64(count), 1))
	r.Shuffle(count, func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	committed, resumed := tasks[:count/2], tasks[count/4:3*count/4] // some are both
	began = time.Now()
	each(t, committed, func(task *harness.Task) error {
		return try(t, n, "tasks", "commit", "--scope", string(artifacts.Full), task.ID)
	})
	t.Logf("%d committed in %s", len(committed), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	each(t, resumed, func(task *harness.Task) error { return try(t, n, "tasks", "resume", task.ID) })
	t.Logf("%d resumed in %s", len(resumed), time.Since(began).Round(time.Millisecond))
	a.want(t, fmt.Sprintf(`ateom_sandboxes{state="paused"} %d`, count-len(resumed)), fmt.Sprintf(`ateom_sandboxes{state="running"} %d`, len(resumed)),
		fmt.Sprintf(`ateom_verb_duration_seconds_count{verb="Commit"} %d`, len(committed)))
	each(t, resumed, func(task *harness.Task) error {
		if err := task.Kill(n.Context(t), syscall.SIGUSR1); err != nil {
			return err
		}
		return harness.Poll(func() error {
			first, again, _ := strings.Cut(strings.TrimSpace(task.Log(t)), "\n")
			if strings.TrimPrefix(first, "first ") != strings.TrimPrefix(again, "again ") {
				return fmt.Errorf("%s said %q and after the resume %q", task.ID, first, again)
			}
			return nil
		})
	})
	if list := strings.Fields(n.Ateom(t, "snapshots", "ls", "--quiet", "--store", "dir")); len(list) != len(committed) {
		t.Errorf("the store has %d snapshots, want %d", len(list), len(committed))
	}
}

// each calls do for all tasks, some at a time.
func each(t *testing.T, tasks []*harness.Task, do func(*harness.Task) error) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, task := range tasks {
		g.Go(func() error { return do(task) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// try runs ctr-ateom, from any goroutine.
func try(t *testing.T, n *harness.Node, args ...string) error {
	if r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: args}); r.Code != 0 {
		return fmt.Errorf("ctr-ateom %s: exit code %d: %s", args, r.Code, r.Stderr)
	}
	return nil
}

// weigh returns the pids of the tasks' shims, whose memory it bounds.
func weigh(t *testing.T, tasks []*harness.Task) (pids []int) {
	t.Helper()
	var private, proportional, most int64
	for _, task := range tasks {
		pid := task.Shim(t)
		pids = append(pids, pid)
		own, err := lab.PrivateMemory(pid)
		if err != nil {
			t.Fatal(err)
		}
		share, err := lab.ProportionalMemory(pid)
		if err != nil {
			t.Fatal(err)
		}
		private, proportional, most = private+own, proportional+share, max(most, own)
	}
	n := int64(len(tasks))
	t.Logf("memory of a sleeping shim: RssAnon %.2f MiB, at most %.2f MiB; Pss %.2f MiB", mib(private/n), mib(most), mib(proportional/n))
	if most > privateLimit {
		t.Errorf("a sleeping shim holds %d bytes, more than %d", most, privateLimit)
	}
	return pids
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
