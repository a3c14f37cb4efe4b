// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package traces

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/ateom/ateom/cmd/ateom-agent/traces/tracestest"
	"github.com/ateom/ateom/shim/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestAVerbIsASpanWithAChildAPhase(t *testing.T) {
	for _, protocol := range []string{"", "http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c := tracestest.New(t)
			t.Setenv(endpointEnv, c.HTTP)
			if protocol == "grpc" {
				t.Setenv(endpointEnv, c.GRPC)
			}
			t.Setenv(protocolEnv, protocol)
			tr, err := New(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Unix(1000, 0)
			tr.Add(&journal.Entry{
				Verb: "Pause", Namespace: "ns", Sandbox: "box", Start: start, TraceParent: parent, Bytes: 5, Snapshot: "s1",
				Phases: []journal.Phase{{Name: "freeze", Nanos: 100}, {Name: "save", Nanos: 2000}},
			})
			tr.Add(&journal.Entry{
				Verb: "Commit", Start: start, Cause: "unavailable", Error: "no bucket", TraceParent: "nonsense",
				Phases: []journal.Phase{{Name: "failed", Nanos: 7}},
			})
			if err := tr.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range c.Roots() {
				got = append(got, fmt.Sprintf("%s %d+%d %s %s", s.GetName(), s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano(), s.GetStatus().GetCode(), s.GetStatus().GetMessage()))
				for _, child := range c.Children(s) {
					got = append(got, fmt.Sprintf("- %s %d+%d", child.GetName(), child.GetStartTimeUnixNano(), child.GetEndTimeUnixNano()-child.GetStartTimeUnixNano()))
				}
			}
			want := []string{
				"Pause 1000000000000+2100 STATUS_CODE_UNSET ", "- freeze 1000000000000+100", "- save 1000000000100+2000",
				"Commit 1000000000000+7 STATUS_CODE_ERROR no bucket", "- failed 1000000000000+7",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("spans (-want +got):\n%s", diff)
			}
			roots := c.Roots()
			if id := hex.EncodeToString(roots[0].GetTraceId()); id != "0af7651916cd43dd8448eb211c80319c" || hex.EncodeToString(roots[0].GetParentSpanId()) != "b7ad6b7169203331" {
				t.Errorf("the verb is not below its caller's span: trace %s", id)
			}
			if diff := cmp.Diff(map[string]string{"containerd.namespace": "ns", "ateom.sandbox": "box", "ateom.snapshot": "s1", "ateom.snapshot.bytes": "5"}, values(roots[0])); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if values(roots[1])["error.type"] != "unavailable" || len(roots[1].GetParentSpanId()) != 0 {
				t.Errorf("failed verb: %v", roots[1])
			}
		})
	}
}

func values(s *otlp.Span) map[string]string {
	m := map[string]string{}
	for _, a := range s.GetAttributes() {
		if v := a.GetValue(); v.GetStringValue() != "" {
			m[a.GetKey()] = v.GetStringValue()
		} else {
			m[a.GetKey()] = fmt.Sprint(v.GetIntValue())
		}
	}
	return m
}

func TestWithoutAnEndpointThereAreNoTraces(t *testing.T) {
	t.Setenv(endpointEnv, "")
	tr, err := New(t.Context(), "test")
	if tr != nil || err != nil {
		t.Fatalf("New = %v, %v, want nothing", tr, err)
	}
	tr.Add(&journal.Entry{Verb: "Pause"})
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownProtocolIsRefused(t *testing.T) {
	t.Setenv(endpointEnv, "http://127.0.0.1:1")
	t.Setenv(protocolEnv, "http/json")
	if _, err := New(t.Context(), "test"); err == nil {
		t.Error("New took a protocol that it does not speak")
	}
}

// A collector that takes connections and never answers holds nobody up.
func TestADeafCollectorHoldsNobodyUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv(endpointEnv, "http://"+l.Addr().String())
	tr, err := New(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 5000 { // more than the exporter queues
		tr.Add(&journal.Entry{Verb: "Pause", Start: time.Now(), Phases: []journal.Phase{{Name: "save", Nanos: 1}}})
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("adding spans took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := tr.Close(ctx); err == nil {
		t.Error("Close says that the spans were exported")
	}
}
