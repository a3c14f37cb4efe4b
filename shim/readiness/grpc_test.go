// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// grpcServer serves, and returns a target whose every port it is.
func grpcServer(t *testing.T, register func(*grpc.Server)) *fakeTarget {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &fakeTarget{dial: func(ctx context.Context, _ int) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	}}
}

func grpcProbe(service string) Probe {
	p := tcp(1)
	p.TCPSocket, p.GRPC = nil, &GRPCAction{Port: 50051, Service: service}
	return p
}

// The server is gRPC's own.
func TestGRPCAsksTheHealthService(t *testing.T) {
	service := health.NewServer()
	service.SetServingStatus("ready", healthpb.HealthCheckResponse_SERVING)
	service.SetServingStatus("busy", healthpb.HealthCheckResponse_NOT_SERVING)
	service.SetServingStatus("odd", 77)
	target := grpcServer(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, service) })
	for name, want := range map[string]string{
		"":      "",
		"ready": "",
		"busy":  `service "busy" is NOT_SERVING`,
		"odd":   `service "odd" has status 77`,
		"other": `the health service does not know service "other"`,
	} {
		p := grpcProbe(name)
		err := try(t.Context(), &p, target)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("service %q: %v, want %q", name, err, want)
		}
	}
	if target.port.Load() != 50051 {
		t.Errorf("port %d was dialled", target.port.Load())
	}
}

func TestGRPCWithoutAHealthService(t *testing.T) {
	target := grpcServer(t, func(*grpc.Server) {})
	p := grpcProbe("")
	if err := try(t.Context(), &p, target); err == nil || !strings.Contains(err.Error(), "no health service") {
		t.Errorf("try = %v", err)
	}
}

// What is no gRPC server is an error, however it answers, and never ready.
func TestGRPCRefusesOtherAnswers(t *testing.T) {
	serving := "\x00\x00\x00\x00\x02\x08\x01"
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"404":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "status 404"},
		"no trailers":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, serving) }, "no gRPC status"},
		"status 13":       {trailers("13", serving), "gRPC status 13"},
		"no message":      {trailers("0", ""), "no gRPC message"},
		"compressed":      {trailers("0", "\x01"+serving[1:]), "no gRPC message"},
		"too long":        {trailers("0", serving+"x"), "no gRPC message"},
		"bad protobuf":    {trailers("0", "\x00\x00\x00\x00\x02\x08\xff"), "decode answer"},
		"bad tag":         {trailers("0", "\x00\x00\x00\x00\x01\xff"), "decode answer"},
		"bad other field": {trailers("0", "\x00\x00\x00\x00\x02\x12\x05"), "decode answer"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}, "no gRPC status"},
		"huge header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := grpcProbe("")
			err := try(t.Context(), &p, serveH2(t, tt.answer))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("try = %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("HTTP/1", func(t *testing.T) {
		p := grpcProbe("")
		if err := try(t.Context(), &p, serve(t, func(http.ResponseWriter, *http.Request) {})); err == nil {
			t.Error("an HTTP/1 server was ready")
		}
	})
}

// Fields that later versions of the message may have are skipped.
func TestGRPCSkipsUnknownFields(t *testing.T) {
	p := grpcProbe("")
	if err := try(t.Context(), &p, serveH2(t, trailers("0", "\x00\x00\x00\x00\x05\x12\x01a\x08\x01"))); err != nil {
		t.Error(err)
	}
}

// trailers answers with a body and a gRPC status.
func trailers(code, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		io.WriteString(w, body)
		w.Header().Set("Grpc-Status", code)
	}
}

// serveH2 is serve with HTTP/2 in plain text.
func serveH2(t *testing.T, h http.HandlerFunc) *fakeTarget {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return &fakeTarget{dial: func(ctx context.Context, _ int) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}}
}
