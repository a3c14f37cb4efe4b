// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// What containerd waits for: two seconds for an answer to State, and killLimit is
// what the shim promises of Kill and of Delete.
const (
	stateLimit = 2 * time.Second
	killLimit  = 4 * time.Second
)

// silent returns the address of a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// closed returns an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// While a commit hangs on a bucket that is dead, everything that containerd asks
// is answered at once, and Kill and Delete win.
func TestADeadBucketHoldsNothingUp(t *testing.T) {
	for how, address := range map[string]string{"silent": silent(t), "closed": closed(t)} {
		for _, paused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, paused %t", how, paused), func(t *testing.T) {
				t.Parallel()
				n := harness.NewNode(t, s3At(address))
				n.Want(t, images.Busybox)
				task := start(t, n)
				task.Reload(t)
				next(t, task)
				if paused {
					n.Ctr(t, "tasks", "pause", task.ID)
				}
				ended := make(chan harness.Result, 1)
				go func() {
					ended <- n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--scope", "Full", task.ID}})
				}()
				harness.Eventually(t, func() error {
					for _, pid := range harness.Find(t, func(args string) bool { return strings.HasSuffix(args, "ateom-gofer job") }) {
						if n.Owns(pid) {
							return nil
						}
					}
					return errors.New("no gofer runs")
				})
				wantAnswers(t, task)
				wantEnd(t, task)
				select {
				case r := <-ended:
					if r.Code == 0 || !strings.Contains(r.Stderr, "commit sandbox "+task.ID+": sandbox was killed") {
						t.Errorf("a commit into a dead bucket ends with exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
					}
				case <-time.After(harness.Limit):
					t.Error("the commit of a sandbox that is gone goes on")
				}
			})
		}
	}
}

// A sandbox whose pages still come from a bucket that has just died can be asked,
// killed and deleted.
func TestABucketThatDiesDuringARestoreHoldsNothingUp(t *testing.T) {
	_, wire := wiredS3(t)
	n := harness.NewNode(t, s3At(wire.Addr()))
	n.Want(t, images.Busybox)
	task := start(t, n)
	fill(t, task)
	before := next(t, task)
	id := commit(t, task, "--scope", "Full")
	task.Remove(t)

	other := harness.NewNode(t, s3At(wire.Addr())) // whose cache is empty
	other.Want(t, images.Busybox)
	wire.Reshape(link.Shape{Total: 30e6})
	again := start(t, other, "--from", id)
	again.Reload(t)
	wantSameLife(t, before, next(t, again))
	wire.Reshape(link.Shape{Total: 20e3}) // bytes a second: it is as good as dead
	wantAnswers(t, again)
	wantEnd(t, again)
}

// wantAnswers fails the test unless what containerd asks by itself is answered.
func wantAnswers(t *testing.T, task *harness.Task) {
	t.Helper()
	ctx := task.Node.Context(t)
	for what, ask := range map[string]func(context.Context) error{
		"State":   func(ctx context.Context) error { _, err := task.Status(ctx); return err },
		"Pids":    func(ctx context.Context) error { _, err := task.Pids(ctx); return err },
		"Metrics": func(ctx context.Context) error { _, err := task.Metrics(ctx); return err },
	} {
		began := time.Now()
		err := ask(ctx)
		if took := time.Since(began); err != nil || took > stateLimit {
			t.Errorf("%s: %v after %s, want an answer within %s", what, err, took, stateLimit)
		}
	}
}

// wantEnd kills and deletes the task, each within the time that the shim promises.
func wantEnd(t *testing.T, task *harness.Task) {
	t.Helper()
	began := time.Now()
	if code := task.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	killed := time.Now()
	if took := killed.Sub(began); took > killLimit {
		t.Errorf("the kill took %s, more than %s", took, killLimit)
	}
	if _, err := task.Delete(task.Node.Context(t)); err != nil {
		t.Error(err)
	}
	if took := time.Since(killed); took > killLimit {
		t.Errorf("the delete took %s, more than %s", took, killLimit)
	}
	if left := task.Processes(t); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}
