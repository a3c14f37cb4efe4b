// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// questions are what containerd, kubelet and operators ask a shim again and again.
var questions = []struct {
	name string
	ask  func(context.Context, *ttrpc.Client, string) error
}{
	{"State", func(ctx context.Context, c *ttrpc.Client, id string) error {
		_, err := taskapi.NewTaskClient(c).State(ctx, &taskapi.StateRequest{ID: id})
		return err
	}},
	{"Pids", func(ctx context.Context, c *ttrpc.Client, id string) error {
		_, err := taskapi.NewTaskClient(c).Pids(ctx, &taskapi.PidsRequest{ID: id})
		return err
	}},
	{"Stats", func(ctx context.Context, c *ttrpc.Client, id string) error {
		_, err := taskapi.NewTaskClient(c).Stats(ctx, &taskapi.StatsRequest{ID: id})
		return err
	}},
	{"Connect", func(ctx context.Context, c *ttrpc.Client, id string) error {
		_, err := taskapi.NewTaskClient(c).Connect(ctx, &taskapi.ConnectRequest{ID: id})
		return err
	}},
	{"Status", func(ctx context.Context, c *ttrpc.Client, id string) error {
		_, err := ateomv1.NewSnapshotsClient(c).Status(ctx, &ateomv1.StatusRequest{Id: id})
		return err
	}},
	{"List", func(ctx context.Context, c *ttrpc.Client, id string) error {
		_, err := ateomv1.NewSnapshotsClient(c).List(ctx, &ateomv1.ListRequest{Id: id})
		return err
	}},
}

const (
	// asked is how often each question is asked: kubelet's of every ten seconds, for
	// some hours.
	asked = 2000
	// weighedEach is after how many questions the shim is weighed.
	weighedEach = 50
	// others is how many more snapshots the node has then, and crowded how often it is
	// asked for the sandbox's among them.
	others, crowded = 999, 200
	// callers is how many clients come, ask everything once and go.
	callers = 200
)

// A sleeping shim that is asked again and again is no larger than one that is left
// alone, at no time, and goes back to sleep.
func TestQuestionsDoNotFattenASleepingShim(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	n.Ateom(t, "tasks", "pause", task.ID)
	pids := weigh(t, []*harness.Task{task})
	// A Wait lasts as long as its container.
	if _, err := task.Wait(n.Context(t)); err != nil {
		t.Fatal(err)
	}

	client := task.DialShim(t)
	for _, q := range questions {
		ctx := n.Context(t)
		wantSmall(t, pids[0], q.name, asked, func() error { return q.ask(ctx, client, task.ID) })
	}
	ctx := n.Context(t)
	wantSmall(t, pids[0], "everything, by many", callers, func() error {
		client := task.DialShim(t)
		for _, q := range questions {
			if err := q.ask(ctx, client, task.ID); err != nil {
				return err
			}
		}
		return client.Close()
	})
	crowd(t, n)
	list := questions[len(questions)-1]
	ctx = n.Context(t)
	wantSmall(t, pids[0], fmt.Sprintf("%s among %d snapshots", list.name, others+1), crowded, func() error { return list.ask(ctx, client, task.ID) })
	weigh(t, []*harness.Task{task})
	wantAsleep(t, pids)
}

// crowd puts snapshots of other sandboxes into the node's store: what a node has on which
// many sleep.
func crowd(t *testing.T, n *harness.Node) {
	t.Helper()
	store := filepath.Join(n.Config.StateDir, "snapshots")
	dirs, err := os.ReadDir(store)
	if err != nil || len(dirs) != 1 {
		t.Fatalf("snapshots %v, %v", dirs, err)
	}
	id := dirs[0].Name()
	manifest := harness.ReadFile(t, filepath.Join(store, id, "manifest.json"))
	sandbox := regexp.MustCompile(`("sandbox":\s*\{[^}]*"id":\s*")[^"]*"`)
	for i := range others {
		other := string(artifacts.NewID(time.Now()))
		text := sandbox.ReplaceAllString(strings.ReplaceAll(manifest, id, other), fmt.Sprintf(`${1}other-%d"`, i))
		if text == manifest || !strings.Contains(text, fmt.Sprintf(`"other-%d"`, i)) {
			t.Fatalf("the manifest has another form: %s", manifest)
		}
		dir := filepath.Join(store, other)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// wantSmall asks so many times, and bounds the private memory that the shim is
// seen with meanwhile.
func wantSmall(t *testing.T, shim int, what string, times int, ask func() error) {
	t.Helper()
	var most int64
	for i := range times {
		if err := ask(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if (i+1)%weighedEach != 0 {
			continue
		}
		held, err := lab.PrivateMemory(shim)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, held)
	}
	t.Logf("asked %d times for %s: at most %.2f MiB", times, what, mib(most))
	if most > privateLimit {
		t.Errorf("%s: a sleeping shim held %d bytes, more than %d", what, most, privateLimit)
	}
}
