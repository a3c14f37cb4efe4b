// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tracestest is an OpenTelemetry collector for tests: it takes spans by
// OTLP, over gRPC and over HTTP, on loopback, and keeps them. Only tests may
// import it.
package tracestest

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// A Collector keeps the spans that it is sent.
type Collector struct {
	collector.UnimplementedTraceServiceServer
	// GRPC and HTTP are the endpoints, as OTEL_EXPORTER_OTLP_ENDPOINT has them.
	GRPC, HTTP string

	mu    sync.Mutex
	spans []*otlp.Span
}

// New returns a collector that ends with the test.
func New(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	overGRPC, overHTTP := listen(t), listen(t)
	c.GRPC, c.HTTP = "http://"+overGRPC.Addr().String(), "http://"+overHTTP.Addr().String()

	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, c)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.serveHTTP)
	h := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(overGRPC) })
	serving.Go(func() { _ = h.Serve(overHTTP) })
	t.Cleanup(func() {
		g.Stop()
		h.Close()
		serving.Wait()
	})
	return c
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Export implements OTLP's service.
func (c *Collector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			c.spans = append(c.spans, ss.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (c *Collector) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := &collector.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response, _ := c.Export(r.Context(), request)
	b, err := proto.Marshal(response)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(b)
}

// Roots returns the spans that are verbs: those with no parent among the spans.
func (c *Collector) Roots() []*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := map[string]bool{}
	for _, s := range c.spans {
		ids[string(s.GetSpanId())] = true
	}
	var roots []*otlp.Span
	for _, s := range c.spans {
		if !ids[string(s.GetParentSpanId())] {
			roots = append(roots, s)
		}
	}
	return roots
}

// Children returns the spans below one, in the order of their ends.
func (c *Collector) Children(parent *otlp.Span) []*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var children []*otlp.Span
	for _, s := range c.spans {
		if string(s.GetParentSpanId()) == string(parent.GetSpanId()) {
			children = append(children, s)
		}
	}
	return children
}
