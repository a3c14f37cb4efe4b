// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus"

	"github.com/ateom/ateom/artifacts"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/journal"
)

// logged returns a context whose log can be read, as JSON.
func logged(t *testing.T) (context.Context, *bytes.Buffer) {
	var out bytes.Buffer
	logger := logrus.New()
	logger.Out, logger.Formatter = &out, &logrus.JSONFormatter{}
	return log.WithLogger(t.Context(), logrus.NewEntry(logger)), &out
}

// noted returns what is in the journal of the bench's node.
func (b *bench) noted(t *testing.T) []*journal.Entry {
	t.Helper()
	r := journal.NewReader(b.sb.cfg.RunDir, journal.Position{})
	defer r.Close()
	var all []*journal.Entry
	if err := r.Read(func(e *journal.Entry) { all = append(all, e) }, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// A verb is told of once in the log, once in the journal, and to Status; its
// total is the time from its request to its end in each, and so is the sum of its
// phases.
func TestAVerbIsToldOfOnceEverywhere(t *testing.T) {
	b := newBench(t)
	b.in(t, Running)
	ctx, out := logged(t)
	ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{"traceparent": []string{"00-aa-bb-01"}})

	w := newStopwatch(ctx)
	w.mark("freeze")
	w.mark("save")
	w.runs()
	w.snapshot = &artifacts.Manifest{ID: "s1", Scope: artifacts.Full, Parts: []artifacts.Part{{Size: 3}, {Size: 4}}}
	b.sb.ended(ctx, verbPause, w, nil)
	failure := errors.Join(fmt.Errorf("bucket: %w", errdefs.ErrUnavailable), errors.New("and more"))
	f := newStopwatch(ctx)
	f.store, f.sent = "main", 5
	b.sb.ended(ctx, verbCommit, f, failure)

	want := []*journal.Entry{
		{Version: 1, Verb: "Pause", Namespace: "ns", Sandbox: "box", Start: w.start.UTC(), Scope: "Full", Snapshot: "s1", Bytes: 7, TraceParent: "00-aa-bb-01"},
		{Version: 1, Verb: "Commit", Namespace: "ns", Sandbox: "box", Start: f.start.UTC(), Store: "main", Sent: 5,
			Cause: "unavailable", Error: "bucket: unavailable; and more", TraceParent: "00-aa-bb-01"},
	}
	entries := b.noted(t)
	if diff := cmp.Diff(want, entries, cmpopts.IgnoreFields(journal.Entry{}, "Phases"), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Fatalf("journal (-want +got):\n%s", diff)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("the log is %q, want a line for each verb", lines)
	}
	for i, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		var sum time.Duration
		for _, p := range entries[i].Phases {
			took, err := time.ParseDuration(fields[p.Name].(string))
			if err != nil || took != time.Duration(p.Nanos) {
				t.Errorf("phase %s is %v in the log, %v, and %d ns in the journal", p.Name, took, err, p.Nanos)
			}
			sum += took
		}
		took := []*stopwatch{w, f}[i].took()
		if total, err := time.ParseDuration(fields["total"].(string)); err != nil || total != took || sum != took || entries[i].Took() != took {
			t.Errorf("total %v, %v; the phases sum to %v, and the verb took %v", total, err, sum, took)
		}
		if first, ok := fields["first-instruction"]; ok != (i == 0) || ok && first != fields["total"] {
			t.Errorf("line %d tells of a first instruction after %v", i, first)
		}
		if fields["verb"] != want[i].Verb || fields["sandbox"] != "box" {
			t.Errorf("line %d is %s", i, line)
		}
	}
	if last := entries[1].Phases; len(last) != 1 || last[0].Name != "failed" {
		t.Errorf("phases of a verb that failed at once: %v", last)
	}

	status, err := snapshots{b.Service}.Status(t.Context(), &ateomv1.StatusRequest{Id: "box"})
	if first := status.GetVerbs()[1].GetFirstInstructionNanos(); first != int64(entries[0].Took()) {
		t.Errorf("Status tells of a first instruction after %d ns, and the verb took %s", first, entries[0].Took())
	}
	if err != nil || len(status.GetVerbs()) != 2 || status.GetVerbs()[0].GetCause() != "unavailable" || status.GetVerb() != "Commit" {
		t.Errorf("Status = %v, %v", status, err)
	}
	// The next of a kind takes the place of the last.
	f = newStopwatch(ctx)
	f.mark("upload")
	b.sb.ended(ctx, verbCommit, f, nil)
	if status, err = (snapshots{b.Service}).Status(t.Context(), &ateomv1.StatusRequest{Id: "box"}); err != nil || len(status.GetVerbs()) != 2 || status.GetVerbs()[0].GetCause() != "" {
		t.Errorf("Status = %v, %v", status, err)
	}
}

// took is how long the verb took by the clock, whatever was noted of its phases.
func (w *stopwatch) took() time.Duration { return w.last.Sub(w.start) }

// What a Pause tells of itself is within what its client has measured, and counts the
// time in which it was held up.
func TestThePhasesOfAPauseAreItsTime(t *testing.T) {
	const held = 50 * time.Millisecond
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	release := f.stop("checkpoint")
	t.Cleanup(release)
	asked := time.Now()
	over := make(chan error, 1)
	go func() {
		_, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"})
		over <- err
	}()
	f.await("checkpoint")
	time.Sleep(held) // that this time is counted is what is tested
	release()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	e := b.noted(t)[0]
	i := slices.IndexFunc(e.Phases, func(p journal.Phase) bool { return p.Name == "save" })
	if i < 0 || time.Duration(e.Phases[i].Nanos) < held || e.Start.Before(asked) || e.Start.Add(e.Took()).After(answered) {
		t.Errorf("it says %v from %v on, phases %v; its client asked at %v, was answered at %v, and the save was held for %v", e.Took(), e.Start, e.Phases, asked, answered, held)
	}
}

func TestAVerbThatIsRefusedIsToldOf(t *testing.T) {
	b := newBench(t)
	b.in(t, Running)
	ctx, out := logged(t)
	if _, err := b.resume(ctx, b.sb); !errdefs.IsFailedPrecondition(err) {
		t.Fatalf("resume of a running sandbox = %v", err)
	}
	entries := b.noted(t)
	if len(entries) != 1 || entries[0].Verb != "Resume" || entries[0].Cause != "failed_precondition" || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("journal %+v, log %s", entries, out)
	}
}

// A journal that cannot be written costs no verb anything.
func TestAVerbEndsWellWithoutAJournal(t *testing.T) {
	b := newBench(t)
	b.in(t, Running)
	b.sb.cfg.RunDir = "/dev/null"
	ctx, out := logged(t)
	w := newStopwatch(ctx)
	b.sb.ended(ctx, verbPause, w, nil) // nothing to do is no verb
	if out.Len() > 0 {
		t.Errorf("log %s", out)
	}
	w.mark("save")
	b.sb.ended(ctx, verbPause, w, nil)
	if text := out.String(); !strings.Contains(text, "verb done") || !strings.Contains(text, "journal") {
		t.Errorf("log %s", text)
	}
}

func TestCauses(t *testing.T) {
	for want, err := range map[string]error{
		"failed_precondition": fmt.Errorf("x: %w", &StateError{State: Paused}),
		"unavailable":         errdefs.ErrUnavailable,
		"data_loss":           errdefs.ErrDataLoss,
		"deadline_exceeded":   context.DeadlineExceeded,
		"canceled":            context.Canceled,
		"killed":              fmt.Errorf("pause: %w", errKilled),
		"unknown":             errors.New("x"),
	} {
		if got := cause(err); got != want {
			t.Errorf("cause(%v) = %s, want %s", err, got, want)
		}
	}
}
