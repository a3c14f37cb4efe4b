// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/shim/inside"
)

// newAsker returns what serves the requests of a bench's sandbox, which runs,
// and a function that reads the last answer.
func newAsker(t *testing.T, b *bench) (a *asker, answer func() string) {
	t.Helper()
	var err error
	if b.sb.inside, err = inside.New(b.sb.scratch, false); err != nil {
		t.Fatal(err)
	}
	return &asker{service: b.Service, sandbox: b.sb, allowed: map[inside.Verb]bool{inside.Commit: true}}, func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(b.sb.scratch, "inside", "answer"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
}

// panicking is a Starter that panics.
type panicking struct{}

func (panicking) Start(*exec.Cmd) (func() (int, error), error) { panic("out of luck") }

// A panic while a program's request is served fails the request alone: the
// sandbox, which ends with the shim's process, goes on.
func TestAPanicFailsARequestFromInsideAlone(t *testing.T) {
	b := newBench(t)
	b.withRuntime(t)
	b.in(t, Running)
	a, answer := newAsker(t, b)
	good := b.sb.starter
	b.sb.starter = panicking{}
	a.serve(t.Context(), &inside.Request{ID: "one", Verb: inside.Commit, Scope: "Full"}, nil)
	if got := answer(); !strings.HasPrefix(got, "one failed out of luck") {
		t.Errorf("answer %q", got)
	}
	b.sb.starter = good
	if _, end, err := b.sb.take(t.Context()); err != nil {
		t.Errorf("the turn was not given back: %v", err)
	} else {
		end()
	}
	drafts, err := os.ReadDir(filepath.Join(b.sb.cfg.StateDir, "drafts"))
	if err != nil || len(drafts) > 0 {
		t.Errorf("drafts left: %v, %v", drafts, err)
	}
}

// Why a request is refused begins with a word that a program can tell it by.
func TestRefusalsOfRequestsFromInside(t *testing.T) {
	b := newBench(t)
	b.in(t, Running)
	a, answer := newAsker(t, b)
	for _, tt := range []struct {
		r    *inside.Request
		err  error
		want string
	}{
		{&inside.Request{ID: "one", Verb: inside.Pause}, nil, "one refused EPERM Pause is not allowed here"},
		{nil, errdefs.ErrInvalidArgument, "- refused EINVAL "},
		{&inside.Request{ID: "two", Verb: inside.Commit}, nil, "two failed "}, // there is no gofer
		{&inside.Request{ID: "three", Verb: inside.Commit}, nil, "three refused EAGAIN the last request was a moment ago"},
	} {
		a.serve(context.WithoutCancel(t.Context()), tt.r, tt.err)
		if got := answer(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("answer %q, want %q", got, tt.want)
		}
	}
}
