// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
)

// closing is a task that tells how its input was closed.
type closing struct {
	client.Task
	closed chan client.IOCloseInfo
}

func (c closing) CloseIO(_ context.Context, opts ...client.IOCloserOpts) error {
	var info client.IOCloseInfo
	for _, o := range opts {
		o(&info)
	}
	c.closed <- info
	return nil
}

func TestInputThatEndedBeforeTheTaskIsClosed(t *testing.T) {
	in := newInput(strings.NewReader("all of it"))
	got, err := io.ReadAll(in)
	if err != nil || string(got) != "all of it" {
		t.Fatalf("read %q, %v", got, err)
	}
	if _, err := in.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a second read past the end gives %v, want EOF", err)
	}
	task := closing{closed: make(chan client.IOCloseInfo, 1)}
	in.closeWith(t.Context(), task)
	select {
	case info := <-task.closed:
		if !info.Stdin {
			t.Error("the task was not told that its stdin is closed")
		}
	default:
		t.Error("the task was told nothing")
	}
}

func TestInputThatGoesOnEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	task := closing{closed: make(chan client.IOCloseInfo, 1)}
	newInput(strings.NewReader("")).closeWith(ctx, task)
	if len(task.closed) > 0 {
		t.Error("the task's input was closed, but has not ended")
	}
}
