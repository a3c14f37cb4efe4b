// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"io"
	"testing"
)

// wantHello dials, and fails the test unless the sandbox's end says hello.
func wantHello(t *testing.T, d *Dialer) {
	t.Helper()
	f, err := d.Dial(t.Context(), 80)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
}

// Attempts that follow each other have one connection, whether they are refused or not.
func TestADialerKeepsItsConnection(t *testing.T) {
	m := newContainerManager()
	d := serve(t, m).Dialer("a")
	defer d.Close()
	m.fail(errors.New("connection refused"))
	for range 20 {
		f, err := d.Dial(t.Context(), 80)
		if err == nil {
			f.Close()
			t.Fatal("a refusal was none")
		}
		if errors.Is(err, ErrSandboxGone) {
			t.Fatal(err)
		}
	}
	m.fail(nil)
	wantHello(t, d)
	wantHello(t, d)
	if n := m.lines.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// An attempt that is given up costs its connection; the next has another.
func TestADialerSurvivesAnAttemptThatIsGivenUp(t *testing.T) {
	m := newContainerManager()
	m.dialled = make(chan struct{}, 3)
	d := serve(t, m).Dialer("a")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody asks any more")
	go func() {
		<-m.dialled
		cancel(why)
	}()
	if f, err := d.Dial(ctx, 80); !errors.Is(err, why) {
		f.Close()
		t.Errorf("Dial = %v, want its end's cause", err)
	}
	close(m.release)
	wantHello(t, d)
	if n := m.lines.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	d.Close()
}

// Those that dial at the same time do not wait for each other; what they leave is closed
// with the dialer, and what comes after that leaves nothing.
func TestADialerServesManyAtOnce(t *testing.T) {
	m := newContainerManager()
	m.dialled = make(chan struct{}, 4)
	d := serve(t, m).Dialer("a")
	ended := make(chan struct{}, 3)
	for range 3 {
		go func() {
			wantHello(t, d)
			ended <- struct{}{}
		}()
	}
	for range 3 {
		<-m.dialled // all three are under way
	}
	close(m.release)
	for range 3 {
		<-ended
	}
	if n := len(d.idle); n != 3 {
		t.Errorf("%d connections are kept, want 3", n)
	}
	d.Close()
	wantHello(t, d)
	if n := len(d.idle); n != 0 {
		t.Errorf("%d connections are kept after Close, want none", n)
	}
}
