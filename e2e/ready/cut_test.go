// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package ready

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
)

// waiting pauses a guest and resumes it with a probe that does not pass, and returns when
// the Resume waits for it.
func waiting(t *testing.T, resume func(ctx context.Context, task *harness.Task) error) (task *harness.Task, said <-chan error) {
	t.Helper()
	network := harness.NewNetwork(t)
	task = harness.Shared(t).Run(t, guest(t, network, map[string]string{
		"ateom.dev/readiness": `[{"tcpSocket":{"port":8081},"periodSeconds":60,"failureThreshold":1}]`,
	}))
	task.AwaitLog(t, "serving")
	post(t, network, "busy")
	ctx := task.Node.Context(t)
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- resume(ctx, task) }()
	task.AwaitLog(t, "ready: false") // its program ran before, too
	harness.Eventually(t, func() error {
		if state := task.SandboxState(t); state != "resuming" {
			return fmt.Errorf("the sandbox is %s", state)
		}
		return nil
	})
	return task, ended
}

// A Resume that a Kill cuts short says so, and not that somebody's context has ended.
func TestAResumeThatIsKilledSaysSo(t *testing.T) {
	t.Parallel()
	task, said := waiting(t, func(ctx context.Context, task *harness.Task) error { return task.Resume(ctx) })
	if code := task.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	err := <-said
	if err == nil {
		t.Fatal("it succeeded")
	}
	if want := "sandbox was killed by a Kill with SIGKILL of container " + task.ID; !strings.Contains(err.Error(), want) {
		t.Errorf("the error does not say %q: %v", want, err)
	}
	for _, wrong := range []string{"context canceled", "paused again"} {
		if strings.Contains(err.Error(), wrong) {
			t.Errorf("the error says %q: %v", wrong, err)
		}
	}
}

// One whose client has no more time leaves the sandbox paused, and a report that says
// whose deadline it was.
func TestAResumeThatIsTooLateSaysSo(t *testing.T) {
	t.Parallel()
	task, said := waiting(t, func(ctx context.Context, task *harness.Task) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return task.Resume(ctx)
	})
	// The client's library may make a new error of it, of no class, with these words.
	if err := <-said; err == nil || !errdefs.IsDeadlineExceeded(err) && !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("Resume = %v, want a deadline", err)
	}
	task.AwaitState(t, client.Paused)
	harness.Eventually(t, func() error {
		status := task.Node.Ateom(t, "tasks", "status", "--json", task.ID)
		if !strings.Contains(status, "the deadline of the request has passed") || !strings.Contains(status, "it is paused again") {
			return fmt.Errorf("the status does not tell: %s", status)
		}
		return nil
	})
}
