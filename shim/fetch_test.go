// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// asked has fetchOrigin begin a fetch that stands still before anything has come
// but the manifest, and fails or not when it is let through.
func asked(t *testing.T, fails bool) (b *bench, coming *fetching, undo undoList, open func()) {
	t.Helper()
	b = newBench(t)
	f := b.withRuntime(t)
	f.failing(func(call string) bool { return fails && call == "gofer "+string(job.Bring) })
	id := artifacts.NewID(time.Now())
	b.sb.origin = &origin{manifest: &artifacts.Manifest{ID: id}, dir: t.TempDir(), release: func() {}}
	open = f.stop("gofer " + string(job.Bring))
	t.Cleanup(open)
	coming, err := b.sb.fetchOrigin(t.Context(), b.addContainer(t, "box"), nil, &undo)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.sb.origin.manifest; got.ID != id || got.Scope == "" {
		t.Errorf("the origin's manifest is %+v", got)
	}
	f.await("gofer " + string(job.Bring))
	return b, coming, undo, open
}

func TestCreateWaitsForItsFetch(t *testing.T) {
	for _, fails := range []bool{false, true} {
		b, coming, undo, open := asked(t, fails)
		awaited := make(chan error, 1)
		go func() { awaited <- b.sb.awaitFetch(coming) }()
		select {
		case err := <-awaited:
			t.Fatalf("it has come (%v), and nothing was brought", err)
		default:
		}
		open()
		if err := <-awaited; errdefs.IsUnavailable(err) != fails || err != nil != fails {
			t.Errorf("it fails %v: %v", fails, err)
		}
		undo.run(t.Context()) // whatever fails later finds nothing to end
	}
}

// A Create that fails meanwhile ends the fetch before it removes what that writes to.
func TestACreateThatFailsEndsItsFetch(t *testing.T) {
	b, coming, undo, _ := asked(t, false)
	undo.run(t.Context())
	select {
	case <-coming.ended:
	default:
		t.Fatal("the fetch goes on")
	}
	if err := b.sb.awaitFetch(coming); err == nil {
		t.Error("a fetch that was ended has come")
	}
}
