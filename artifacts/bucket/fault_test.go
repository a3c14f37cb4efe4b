// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
)

// A fault is what happens to a request on its way to the server.
type fault func(w http.ResponseWriter, r *http.Request, server http.Handler)

// A faultyNetwork stands between a store and its server. Its faults happen to
// requests with their method, one a request, in order; then all is well.
type faultyNetwork struct {
	server http.Handler
	mu     sync.Mutex
	method string
	faults []fault
	seen   int
}

func (n *faultyNetwork) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	var f fault
	if r.Method == n.method {
		n.seen++
		if len(n.faults) > 0 {
			f, n.faults = n.faults[0], n.faults[1:]
		}
	}
	n.mu.Unlock()
	if f == nil {
		n.server.ServeHTTP(w, r)
		return
	}
	f(w, r, n.server)
}

func (n *faultyNetwork) inject(method string, faults ...fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.method, n.faults, n.seen = method, faults, 0
}

func (n *faultyNetwork) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen
}

// status answers without the server having seen the request.
func status(code int) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
	}
}

// reset breaks the connection before an answer.
func reset(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// lost breaks the connection after the server has done what was asked.
func lost(_ http.ResponseWriter, r *http.Request, server http.Handler) {
	server.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// halfway breaks the connection in the middle of the answer's body.
func halfway(w http.ResponseWriter, r *http.Request, server http.Handler) {
	rec := httptest.NewRecorder()
	server.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// stall answers nothing until the client gives up.
func stall(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// fastPolicy is DefaultPolicy without its patience.
var fastPolicy = bucket.Policy{Attempts: 4, First: time.Millisecond, Longest: 4 * time.Millisecond, Idle: time.Second, SlowestRate: 1 << 30}

// A faultyServer is a kind of store that can be opened behind a faulty network.
type faultyServer struct {
	name      string
	put, stat string // the methods of its requests
	// start starts the server, and connect returns its store's URL at another
	// address, for which it sets the test's environment.
	start   func(t testing.TB) (url, address string)
	connect func(t *testing.T, url, proxy string) string
}

var faultyServers = []faultyServer{
	{"s3", "PUT", "HEAD", storetest.S3, func(t *testing.T, _, proxy string) string {
		t.Setenv("AWS_MAX_ATTEMPTS", "1") // the SDK's own retries would hide Retry's
		return storetest.S3URL("bucket", proxy)
	}},
	{"gs", "POST", "GET", storetest.GCS, func(t *testing.T, url, proxy string) string {
		t.Setenv("STORAGE_EMULATOR_HOST", proxy)
		return url
	}},
	{"azblob", "PUT", "HEAD", storetest.Azure, func(t *testing.T, url, proxy string) string {
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", storetest.AzureConnection(proxy))
		return url
	}},
}

// open opens the store behind a faulty network.
func (f faultyServer) open(t *testing.T) (bucket.Store, *faultyNetwork) {
	t.Helper()
	storeURL, address := f.start(t)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = address
			if f.name == "s3" { // its signature covers the Host that the client sees
				r.Out.Host = r.In.Host
			}
		},
		FlushInterval: -1,
	}
	network := &faultyNetwork{server: proxy}
	server := httptest.NewServer(network)
	t.Cleanup(server.Close)
	s, err := bucket.OpenBare(t.Context(), f.connect(t, storeURL, server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return bucket.Retry(s, fastPolicy), network
}

// onEachServer runs a test on the store of each server.
func onEachServer(t *testing.T, test func(*testing.T, faultyServer, bucket.Store, *faultyNetwork)) {
	for _, f := range faultyServers {
		t.Run(f.name, func(t *testing.T) {
			s, network := f.open(t)
			test(t, f, s, network)
		})
	}
}

// times repeats a fault.
func times(n int, f fault) (all []fault) {
	for range n {
		all = append(all, f)
	}
	return all
}

// everTimes is more than all attempts of the SDK and of Retry together.
const everTimes = 100

func TestFaultsOfTheNetworkEndInSuccessOrAClearError(t *testing.T) {
	onEachServer(t, testFaults)
}

func testFaults(t *testing.T, f faultyServer, s bucket.Store, network *faultyNetwork) {
	ctx := t.Context()
	data := storetest.Bytes(1, 300_000)
	if err := s.Put(ctx, "there", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	put := func() error { return s.Put(ctx, "new", bytes.NewReader(data), int64(len(data))) }
	get := func() error {
		got, err := bucket.ReadAll(ctx, s, "there", int64(len(data)))
		if err == nil && !bytes.Equal(got, data) {
			return errors.New("the bytes are others")
		}
		return err
	}
	stat := func() error { _, err := s.Stat(ctx, "there"); return err }
	list := func() error {
		for _, err := range s.List(ctx, "th") {
			return err
		}
		return errors.New("nothing was listed")
	}
	for _, c := range []struct {
		name   string
		method string
		faults []fault
		call   func() error
		want   error // nil: success
		once   bool  // it must not be tried again
	}{
		{"put: 503 twice", f.put, times(2, status(503)), put, nil, false},
		{"put: 500 for ever", f.put, times(everTimes, status(500)), put, errdefs.ErrUnavailable, false},
		{"put: 429 once", f.put, times(1, status(429)), put, nil, false},
		{"put: reset twice", f.put, times(2, reset), put, nil, false},
		{"put: answer lost", f.put, times(1, lost), put, nil, false},
		{"put: stalled", f.put, times(1, stall), put, nil, false},
		{"put: forbidden", f.put, times(everTimes, status(403)), put, errdefs.ErrPermissionDenied, true},
		{"put: unauthorized", f.put, times(everTimes, status(401)), put, errdefs.ErrUnauthenticated, true},
		{"put: no bucket", f.put, times(everTimes, status(404)), put, errdefs.ErrNotFound, true},
		{"get: 503 twice", "GET", times(2, status(503)), get, nil, false},
		{"get: reset", "GET", times(1, reset), get, nil, false},
		{"get: broken off three times", "GET", times(3, halfway), get, nil, false},
		{"get: stalled", "GET", times(1, stall), get, nil, false},
		{"get: forbidden", "GET", times(everTimes, status(403)), get, errdefs.ErrPermissionDenied, true},
		{"get: 502 for ever", "GET", times(everTimes, status(502)), get, errdefs.ErrUnavailable, false},
		{"list: 503 twice", "GET", times(2, status(503)), list, nil, false},
		{"stat: 503 twice", f.stat, times(2, status(503)), stat, nil, false},
		{"stat: forbidden", f.stat, times(everTimes, status(403)), stat, errdefs.ErrPermissionDenied, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			network.inject(c.method, c.faults...)
			err := c.call()
			if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if n := network.count(); c.once && n != 1 {
				t.Errorf("%d attempts, want one", n)
			}
		})
	}
}

func TestCreateWhoseAnswerWasLostHasSucceeded(t *testing.T) {
	onEachServer(t, func(t *testing.T, f faultyServer, s bucket.Store, network *faultyNetwork) {
		network.inject(f.put, lost)
		if err := s.Create(t.Context(), "manifest", []byte("mine")); err != nil {
			t.Errorf("create: %v", err)
		}
		network.inject(f.put, status(503))
		if err := s.Create(t.Context(), "manifest", []byte("theirs")); !errors.Is(err, errdefs.ErrAlreadyExists) {
			t.Errorf("create what another has made: %v, want already exists", err)
		}
		network.inject("")
		if got, err := bucket.ReadAll(t.Context(), s, "manifest", 100); err != nil || string(got) != "mine" {
			t.Errorf("the object is %q, %v", got, err)
		}
	})
}

func TestDeleteWhoseAnswerWasLostHasSucceeded(t *testing.T) {
	onEachServer(t, func(t *testing.T, f faultyServer, s bucket.Store, network *faultyNetwork) {
		if err := s.Create(t.Context(), "a", []byte("x")); err != nil {
			t.Fatal(err)
		}
		network.inject("DELETE", lost, status(503))
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Errorf("delete: %v", err)
		}
	})
}

func TestCancelEndsTheRetries(t *testing.T) {
	onEachServer(t, func(t *testing.T, f faultyServer, s bucket.Store, network *faultyNetwork) {
		ctx, cancel := context.WithCancel(t.Context())
		network.inject(f.put, append([]fault{func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			cancel()
			w.WriteHeader(503)
		}}, times(everTimes, status(503))...)...)
		if err := s.Put(ctx, "a", strings.NewReader("x"), 1); err == nil {
			t.Error("put succeeded")
		}
		if n := network.count(); n != 1 {
			t.Errorf("%d attempts, want one", n)
		}
	})
}
