// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeTarget answers as its functions say.
type fakeTarget struct {
	dial func(ctx context.Context, attempt int) (net.Conn, error)
	exec func(ctx context.Context, attempt int) (int, error)

	dials, execs atomic.Int64
	port         atomic.Int64
	command      atomic.Value
}

func (f *fakeTarget) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	f.port.Store(int64(port))
	return f.dial(ctx, int(f.dials.Add(1)))
}

func (f *fakeTarget) Exec(ctx context.Context, command []string) (int, error) {
	f.command.Store(strings.Join(command, " "))
	return f.exec(ctx, int(f.execs.Add(1)))
}

// closedConn is a connection that only counts how often it is closed.
type closedConn struct {
	net.Conn
	closed *atomic.Int64
}

func (c closedConn) Close() error { c.closed.Add(1); return nil }

var errRefused = errors.New("connection refused")

// tcp returns a probe of a port that may be tried for a second.
func tcp(port Port) Probe {
	return Probe{TCPSocket: &TCPSocketAction{Port: port}, TimeoutSeconds: 1, PeriodSeconds: 1, FailureThreshold: 1, SuccessThreshold: 1}
}

func httpProbe(path string) Probe {
	p := tcp(1)
	p.TCPSocket, p.HTTPGet = nil, &HTTPGetAction{Port: 8080, Scheme: "HTTP", Path: path}
	return p
}

func TestNoProbesAreReady(t *testing.T) {
	if err := Wait(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

// The attempt that finds the port open is the last one, and no attempt is made
// after it; each attempt follows the one before within a tick.
func TestWaitTriesUntilThePortOpens(t *testing.T) {
	var closed atomic.Int64
	const opens = 20
	target := &fakeTarget{dial: func(_ context.Context, attempt int) (net.Conn, error) {
		if attempt < opens {
			return nil, errRefused
		}
		return closedConn{closed: &closed}, nil
	}}
	if err := Wait(t.Context(), []Probe{tcp(6379)}, target); err != nil {
		t.Fatal(err)
	}
	if n := target.dials.Load(); n != opens {
		t.Errorf("%d attempts, want %d", n, opens)
	}
	if target.port.Load() != 6379 || closed.Load() != 1 {
		t.Errorf("port %d was dialled, %d connections were closed", target.port.Load(), closed.Load())
	}
}

func TestSuccessesMustFollowEachOther(t *testing.T) {
	// Attempts 1 and 2 succeed, 3 fails, 4, 5 and 6 succeed.
	target := &fakeTarget{exec: func(_ context.Context, attempt int) (int, error) {
		if attempt == 3 {
			return 1, nil
		}
		return 0, nil
	}}
	p := tcp(1)
	p.TCPSocket, p.Exec, p.SuccessThreshold = nil, &ExecAction{Command: []string{"is", "it"}}, 3
	if err := Wait(t.Context(), []Probe{p}, target); err != nil {
		t.Fatal(err)
	}
	if n := target.execs.Load(); n != 6 || target.command.Load() != "is it" {
		t.Errorf("%d attempts of %q, want 6", n, target.command.Load())
	}
}

func TestTimeOutNamesTheProbeAndItsLastError(t *testing.T) {
	t.Parallel()
	refuse := func(context.Context, int) (net.Conn, error) { return nil, errRefused }
	tests := []struct {
		name  string
		probe Probe
		dial  func(context.Context, int) (net.Conn, error)
		want  string
	}{
		{"refused", tcp(81), refuse, "tcpSocket :81 did not succeed within 1s: connection refused"},
		{"hangs", tcp(82), func(ctx context.Context, _ int) (net.Conn, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("dial: %w", ctx.Err())
		}, "tcpSocket :82 did not succeed within 1s: dial: context deadline exceeded"},
		{"refused, then hangs", tcp(83), func(ctx context.Context, attempt int) (net.Conn, error) {
			if attempt == 1 {
				return nil, errRefused
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}, "tcpSocket :83 did not succeed within 1s: connection refused"},
		{"http", httpProbe("/x"), refuse, "httpGet http://:8080/x did not succeed within 1s: connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := Wait(t.Context(), []Probe{tt.probe}, &fakeTarget{dial: tt.dial})
			var notReady *NotReadyError
			if !errors.As(err, &notReady) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Wait = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOneHopelessProbeEndsTheOthers(t *testing.T) {
	t.Parallel()
	patient := tcp(1)
	patient.FailureThreshold = maxSeconds
	target := &fakeTarget{dial: func(context.Context, int) (net.Conn, error) { return nil, errRefused }}
	err := Wait(t.Context(), []Probe{patient, tcp(2)}, target)
	var notReady *NotReadyError
	if !errors.As(err, &notReady) || notReady.Probe.TCPSocket.Port != 2 {
		t.Errorf("Wait = %v, want the second probe's error", err)
	}
}

func TestWaitEndsWithItsCause(t *testing.T) {
	killed := errors.New("sandbox was killed")
	ctx, cancel := context.WithCancelCause(t.Context())
	target := &fakeTarget{dial: func(ctx context.Context, attempt int) (net.Conn, error) {
		if attempt == 3 {
			cancel(killed)
			<-ctx.Done()
		}
		return nil, errRefused
	}}
	if err := Wait(ctx, []Probe{tcp(1)}, target); !errors.Is(err, killed) {
		t.Errorf("Wait = %v, want the cause", err)
	}
	if n := target.dials.Load(); n != 3 {
		t.Errorf("%d attempts, want none after the end", n)
	}
}

func TestAttemptEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	hangs := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for _, probe := range []Probe{tcp(1), httpProbe("/"), grpcProbe(""), {Exec: &ExecAction{Command: []string{"x"}}, TimeoutSeconds: 1}} {
		for name, target := range map[string]Target{
			"dial": &fakeTarget{
				dial: func(ctx context.Context, _ int) (net.Conn, error) { return nil, hangs(ctx) },
				exec: func(ctx context.Context, _ int) (int, error) { return 0, hangs(ctx) },
			},
			"answer": serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		} {
			if name == "answer" && probe.HTTPGet == nil {
				continue // the others ask nothing that it could answer
			}
			t.Run(probe.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				err := try(t.Context(), &probe, target)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 1s (timeoutSeconds)") {
					t.Errorf("try = %v, want the limit", err)
				}
			})
		}
	}
}

func TestExecFails(t *testing.T) {
	p := tcp(1)
	p.TCPSocket, p.Exec = nil, &ExecAction{Command: []string{"x"}}
	status := &fakeTarget{exec: func(context.Context, int) (int, error) { return 3, nil }}
	if err := try(t.Context(), &p, status); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("try = %v, want the exit status", err)
	}
	broken := &fakeTarget{exec: func(context.Context, int) (int, error) { return 0, errRefused }}
	if err := try(t.Context(), &p, broken); !errors.Is(err, errRefused) {
		t.Errorf("try = %v, want the error", err)
	}
}

// The pause between two attempts is what decides how soon a port is noticed.
func TestIntervalIsAMillisecondOrTwo(t *testing.T) {
	if interval <= 0 || interval > 2*time.Millisecond {
		t.Errorf("interval is %v", interval)
	}
}

func TestFirstAttemptWaitsForTheInitialDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		target := &fakeTarget{dial: func(context.Context, int) (net.Conn, error) { return closedConn{closed: new(atomic.Int64)}, nil }}
		p := tcp(1)
		p.InitialDelaySeconds = 7
		if err := Wait(t.Context(), []Probe{p}, target); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the attempt was made after %v", took)
		}
	})
}

// The delay is no part of the time that attempts have.
func TestLimitCountsFromTheFirstAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		target := &fakeTarget{dial: func(context.Context, int) (net.Conn, error) { return nil, errRefused }}
		p := tcp(1)
		p.InitialDelaySeconds = 7
		var notReady *NotReadyError
		if err := Wait(t.Context(), []Probe{p}, target); !errors.As(err, &notReady) {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("it was given up after %v", took)
		}
	})
}

// A closed port costs nothing to ask; a program that answers is left to work.
func TestProgramsThatAnswerAreAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := &fakeTarget{dial: func(context.Context, int) (net.Conn, error) { return nil, errRefused }}
		answers := &fakeTarget{exec: func(context.Context, int) (int, error) { return 1, nil }}
		p := tcp(1)
		if err := Wait(t.Context(), []Probe{p}, closed); err == nil {
			t.Fatal("a closed port was ready")
		}
		p.TCPSocket, p.Exec = nil, &ExecAction{Command: []string{"x"}}
		if err := Wait(t.Context(), []Probe{p}, answers); err == nil {
			t.Fatal("a failing command was ready")
		}
		if n, m := closed.dials.Load(), answers.execs.Load(); n < 900 || m > 60 || m < 40 {
			t.Errorf("in a second, the port was asked %d times, the program %d times", n, m)
		}
	})
}
