// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serve returns a target whose every port is the handler's server.
func serve(t *testing.T, h http.HandlerFunc) *fakeTarget {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &fakeTarget{dial: func(ctx context.Context, _ int) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}}
}

func TestHTTPStatusRanges(t *testing.T) {
	for status, ready := range map[int]bool{
		200: true, 204: true, 299: true, 301: true, 399: true, 400: false, 404: false, 500: false, 503: false,
	} {
		target := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
		p := httpProbe("/")
		err := try(t.Context(), &p, target)
		if (err == nil) != ready {
			t.Errorf("status %d: %v, want ready %v", status, err, ready)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("error %q does not tell status %d", err, status)
		}
	}
}

func TestHTTPRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	target := serve(t, func(w http.ResponseWriter, r *http.Request) { seen <- r })
	p := httpProbe("/a%20b?q=1")
	p.HTTPGet.HTTPHeaders = []HTTPHeader{{"host", "example.test"}, {"X-Two", "1"}, {"X-Two", "2"}, {"User-Agent", "mine"}}
	if err := try(t.Context(), &p, target); err != nil {
		t.Fatal(err)
	}
	r := <-seen
	if r.Method != "GET" || r.RequestURI != "/a%20b?q=1" || r.Host != "example.test" || len(r.Header["X-Two"]) != 2 || r.UserAgent() != "mine" {
		t.Errorf("request %s %s of host %s with %v", r.Method, r.RequestURI, r.Host, r.Header)
	}
	if target.port.Load() != 8080 {
		t.Errorf("port %d was dialled", target.port.Load())
	}
}

// Who closes a connection first has its port in TIME_WAIT, which is nobody's place but
// the probe's.
func TestTheProbeHangsUpFirst(t *testing.T) {
	for name, body := range map[string]string{"short": "ok", "none": "", "long": strings.Repeat("x", 2*maxBody)} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan bool, 1)
			ended := make(chan struct{})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Close
				io.WriteString(w, body)
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateClosed {
					close(ended)
				}
			}
			server.Start()
			defer server.Close()
			p := httpProbe("/")
			target := &fakeTarget{dial: func(ctx context.Context, _ int) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
			}}
			if err := try(t.Context(), &p, target); err != nil {
				t.Fatal(err)
			}
			if <-asked {
				t.Error("the server was asked to close the connection")
			}
			<-ended // and it was closed all the same
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	})
	p := httpProbe("/")
	if err := try(t.Context(), &p, target); err != nil {
		t.Error(err)
	}
	if n := target.dials.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// An answer without an end is not read to its end.
func TestBodyIsBounded(t *testing.T) {
	ended := make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	p := httpProbe("/")
	p.TimeoutSeconds = 30
	if err := try(t.Context(), &p, target); err != nil {
		t.Error(err)
	}
	<-ended // the connection was closed on the server
}

func TestHeaderIsBounded(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	p := httpProbe("/")
	if err := try(t.Context(), &p, target); err == nil {
		t.Error("a header of 1 MiB was accepted")
	}
}

func TestHTTPSProbeAcceptsAnyCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	defer server.Close()
	p := httpProbe("/")
	p.HTTPGet.Scheme = "HTTPS"
	target := &fakeTarget{dial: func(ctx context.Context, _ int) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}}
	if err := try(t.Context(), &p, target); err != nil {
		t.Error(err)
	}
}
