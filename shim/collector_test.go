// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
)

// collectorPercent is GOGC now: -1 if the collector is off.
func collectorPercent() int {
	percent := debug.SetGCPercent(-1)
	debug.SetGCPercent(percent)
	return percent
}

// The collector is off in a shim whose sandbox sleeps, but for the time of an answer.
func TestTheCollectorIsOnOnlyWhileASleepingShimAnswers(t *testing.T) {
	awake := collectorPercent()
	rest()
	defer rouse()
	want := func(what string, percent int) {
		t.Helper()
		if got := collectorPercent(); got != percent {
			t.Errorf("%s: GOGC is %d, want %d", what, got, percent)
		}
	}
	want("asleep", -1)
	one, other := answering(), answering()
	want("two are answered", asleepPercent)
	one()
	want("one is answered", asleepPercent)
	rest()
	want("one is answered, after a verb", asleepPercent)
	other()
	want("asleep again", -1)
	rouse()
	want("awake", awake)
	answering()()
	want("awake, after an answer", awake)
}

// A Wait, which lasts as long as a container, does not have it on.
func TestTheCollectorIsOffWhileASleepingShimIsWaitedFor(t *testing.T) {
	b := newBench(t)
	b.in(t, Paused)
	client := serve(t, b.Service)
	rest()
	defer rouse()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = client.Call(ctx, taskServiceV2, "Wait", &taskapi.WaitRequest{ID: "box"}, &taskapi.WaitResponse{})
	}()
	defer func() {
		cancel()
		<-ended
	}()
	stacks := make([]byte, 1<<20)
	for waits := false; !waits; waits = strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*Service).Wait(") {
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
		time.Sleep(time.Millisecond) // between two looks
	}
	if percent := collectorPercent(); percent != -1 {
		t.Errorf("GOGC is %d while somebody waits", percent)
	}
	if err := client.Call(t.Context(), taskServiceV2, "State", &taskapi.StateRequest{ID: "box"}, &taskapi.StateResponse{}); err != nil {
		t.Fatal(err)
	}
	if percent := collectorPercent(); percent != -1 {
		t.Errorf("GOGC is %d after an answer", percent)
	}
}
