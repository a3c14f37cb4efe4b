// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/ateom/ateom/e2e/crash/numbers"
	"github.com/ateom/ateom/e2e/harness"
)

// sleeps is how often the guest sleeps.
const sleeps = 9

// A program writes numbered lines to both outputs, and is sent numbered lines, without a
// break, while it is paused and resumed and containerd is killed, now while it runs and
// now while it sleeps. No byte is lost, doubled or reordered: in FIFOs that a slow
// reader keeps full, on a terminal, and in a log file.
func TestNoByteOfAStreamIsLost(t *testing.T) {
	for _, c := range []struct {
		name       string
		long       bool
		opts       []cio.Opt
		reads, tty bool
	}{
		{name: "FIFOs", long: true, reads: true},
		{name: "terminal", opts: []cio.Opt{cio.WithTerminal}, reads: true, tty: true},
		{name: "log file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := []string{}
			if c.long {
				args = append(args, "long")
			}
			if c.tty {
				args = append(args, "terminal")
			}
			spec := harness.GuestContainer(t, "github.com/ateom/ateom/e2e/crash/guest", nil, nil, args...)
			if c.tty {
				spec.Opts = append(spec.Opts, oci.WithTTY)
			}
			var stdout, stderr tape
			stdin, keyboard := io.Pipe()
			if c.reads {
				spec.IO = cio.NewCreator(append(c.opts, cio.WithStreams(stdin, &stdout, &stderr))...)
			}
			n := harness.NewNode(t, harness.Config{})
			task := n.Run(t, spec)
			streams := task.IO()
			written := stdout.text
			if !c.reads {
				written = func() string { return task.Log(t) }
			}
			more := func() {
				t.Helper()
				before := strings.Count(written(), "\n")
				harness.Eventually(t, func() error {
					if now := strings.Count(written(), "\n"); now < before+20 {
						return fmt.Errorf("the guest had written %d lines and has now %d: %q", before, now, tail(written()))
					}
					return nil
				})
			}
			more() // a terminal is raw by now
			typed := make(chan int, 1)
			enough := make(chan struct{})
			if c.reads {
				go func() { typed <- typeLines(keyboard, enough) }()
			}

			for i := range sleeps {
				n.Ctr(t, "tasks", "pause", task.ID)
				if i%3 == 1 {
					n.Restart(t, syscall.SIGKILL)
				}
				n.Ctr(t, "tasks", "resume", task.ID)
				more()
				if i%3 == 2 {
					n.Restart(t, syscall.SIGKILL)
				}
			}
			task.Reload(t)
			ctx := n.Context(t)
			exited, err := task.Wait(ctx)
			must(t, err)
			want := 0
			if close(enough); c.reads {
				want = <-typed
			} else {
				must(t, task.Kill(ctx, syscall.SIGTERM))
			}
			if code := harness.AwaitExit(t, exited); code != 0 {
				t.Errorf("exit code %d: %q, %q", code, tail(written()), tail(stderr.text()))
			}
			if _, err := task.Delete(ctx); err != nil {
				t.Error(err)
			}
			done := make(chan struct{})
			go func() {
				streams.Wait()
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(harness.Limit):
				t.Fatal("the streams of a task that is deleted do not end")
			}
			lines := numbered(t, written()+stderr.text(), c.long)
			if got := fmt.Sprintf("read %d\n", want); lines.rest != got {
				t.Errorf("beside its lines the guest has written %q, want %q", lines.rest, got)
			}
			t.Logf("%d lines of output, %d of errors, %d of input", lines.stdout, lines.stderr, want)
		})
	}
}

// typeLines types lines, some at once, until there are enough, then the last one, and
// returns how many there were.
func typeLines(w io.Writer, enough <-chan struct{}) (n int) {
	for {
		select {
		case <-enough:
			io.WriteString(w, "end\n")
			return n
		case <-time.After(20 * time.Millisecond):
		}
		for range 20 {
			io.WriteString(w, numbers.Line(numbers.Stdin, n, false))
			n++
		}
	}
}

// A transcript counts what a guest has written.
type transcript struct {
	stdout, stderr int
	rest           string
}

// numbered fails the test unless the text is the guest's lines, each kind's in its order.
func numbered(t *testing.T, text string, long bool) (w transcript) {
	t.Helper()
	for line := range strings.Lines(text) {
		var n *int
		switch line[0] {
		case numbers.Stdout:
			n = &w.stdout
		case numbers.Stderr:
			n = &w.stderr
		default:
			w.rest += line
			continue
		}
		if want := numbers.Line(line[0], *n, long); line != want {
			t.Fatalf("line %d of kind %c is %.200q (%d bytes), want %.200q (%d bytes)", *n, line[0], line, len(line), want, len(want))
		}
		*n++
	}
	return w
}

// A tape records what is written to it, slowly.
type tape struct {
	mu   sync.Mutex
	data strings.Builder
}

func (p *tape) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond) // slowly
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.data.Write(b)
}

func (p *tape) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.data.String()
}

func tail(s string) string { return s[max(0, len(s)-500):] }
