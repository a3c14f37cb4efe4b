// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// store serves size random bytes at /, and takes what is put there.
func store(t *testing.T, size int) (addr string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	rand.Read(content)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			got, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(got, content) {
				http.Error(w, "other bytes", http.StatusBadRequest)
			}
			return
		}
		w.Write(content)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), content
}

func listen(t *testing.T, addr string, s Shape) *Link {
	t.Helper()
	k, err := Listen(addr, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// get fetches everything over a connection of its own.
func get(t *testing.T, k *Link) (body []byte, first, all time.Duration) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	start := time.Now()
	resp, err := c.Get("http://" + k.Addr())
	if err != nil {
		t.Error(err)
		return nil, 0, 0
	}
	defer resp.Body.Close()
	first = time.Since(start)
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return body, first, time.Since(start)
}

func TestLinkCarriesAndCountsBytesBothWays(t *testing.T) {
	addr, content := store(t, 3<<20)
	k := listen(t, addr, B0)
	body, _, _ := get(t, k)
	if !bytes.Equal(body, content) {
		t.Fatal("other bytes arrived")
	}
	if r := k.Received(); r < 3<<20 || r > 3<<20+4096 {
		t.Errorf("received %d bytes, want 3 MiB and headers", r)
	}
	if s := k.Sent(); s == 0 || s > 4096 {
		t.Errorf("sent %d bytes, want a request's headers", s)
	}
	sent := k.Sent()
	req, err := http.NewRequest(http.MethodPut, "http://"+k.Addr(), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("put: %s", resp.Status)
	}
	if s := k.Sent() - sent; s < 3<<20 || s > 3<<20+4096 {
		t.Errorf("sent %d bytes, want 3 MiB and headers", s)
	}
}

func TestAnswersWaitForTheirFirstByte(t *testing.T) {
	addr, _ := store(t, 10)
	k := listen(t, addr, Shape{FirstByte: 60 * time.Millisecond})
	if _, first, _ := get(t, k); first < 60*time.Millisecond {
		t.Errorf("answered after %v, want 60 ms at least", first)
	}
	k.Reshape(B0)
	if _, first, _ := get(t, k); first > 50*time.Millisecond {
		t.Errorf("answered after %v on a link without delay", first)
	}
}

func TestConnectionsAndTheWholeLinkHaveRates(t *testing.T) {
	const size = 4 << 20
	addr, _ := store(t, size)
	tests := []struct {
		name        string
		shape       Shape
		connections int
		want        time.Duration
	}{
		{"one connection", Shape{PerConnection: 20e6}, 1, size * time.Second / 20e6},
		{"two connections each at their rate", Shape{PerConnection: 20e6}, 2, size * time.Second / 20e6},
		{"two connections share the link", Shape{PerConnection: 20e6, Total: 20e6}, 2, 2 * size * time.Second / 20e6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := listen(t, addr, tt.shape)
			start := time.Now()
			var wg sync.WaitGroup
			for range tt.connections {
				wg.Go(func() { get(t, k) })
			}
			wg.Wait()
			// What kernels buffer on the way passes faster at the end; a busy
			// machine may well be slower.
			if took := time.Since(start); took < tt.want*8/10 || took > tt.want*8 {
				t.Errorf("took %v, want about %v", took, tt.want)
			}
		})
	}
}

func TestCloseEndsConnectionsUnderWay(t *testing.T) {
	addr, _ := store(t, 1<<20)
	k, err := Listen(addr, Shape{PerConnection: 1e5})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + k.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a megabyte arrived through a link that was closed")
	}
}

func TestClientSeesThatTheTargetIsGone(t *testing.T) {
	k := listen(t, "127.0.0.1:1", B0)
	if _, err := http.Get("http://" + k.Addr()); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("Get = %v, want an error at once", err)
	}
}
