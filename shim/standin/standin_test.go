// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/ateom/ateom/shim/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openFor stands in in a network namespace of the test's own, and returns a
// function that connects to a port there.
func openFor(t *testing.T, g grace) (s *Standin, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	if err := network.New(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Remove(path) })
	var answered, unfinished atomic.Int32
	s, err := open(path, g, func() func() {
		answered.Add(1)
		unfinished.Add(1)
		return func() { unfinished.Add(-1) }
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if answered.Load() == 0 || unfinished.Load() != 0 {
			t.Errorf("of %d connections, %d are said to be open at the end", answered.Load(), unfinished.Load())
		}
	})
	return s, func(_ context.Context, _, address string) (conn net.Conn, err error) {
		err = network.In(path, func(*os.File) (err error) {
			conn, err = net.Dial("tcp", address)
			return err
		})
		return conn, err
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// silent opens connections that say nothing, as clients do that wait for the
// server to speak.
func silent(t *testing.T, dial dialFunc, address string, count int) {
	t.Helper()
	for range count {
		conn, err := dial(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func get(t *testing.T, dial dialFunc, url, agent string) (int, string) {
	t.Helper()
	code, body, err := ask(dial, url, agent, time.Second) // a probe's by default
	if err != nil {
		t.Fatal(err)
	}
	return code, body
}

func ask(dial dialFunc, url, agent string, limit time.Duration) (code int, body string, err error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("User-Agent", agent)
	c := http.Client{Timeout: limit, Transport: &http.Transport{
		DialContext: dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as kubelet does
	}}
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestOnlyProbesAreToldThatAllIsWell(t *testing.T) {
	_, dial := openFor(t, defaultGrace)
	const address = "127.0.0.1:8080"
	for _, scheme := range []string{"http", "https"} {
		if code, body := get(t, dial, scheme+"://"+address+"/healthz", "kube-probe/1.36"); code != http.StatusOK {
			t.Errorf("%s probe: %d %s", scheme, code, body)
		}
		if code, body := get(t, dial, scheme+"://"+address+"/", "curl/8"); code != http.StatusServiceUnavailable || body != "the sandbox is paused\n" {
			t.Errorf("%s client: %d %q", scheme, code, body)
		}
	}
}

func TestSilentClientsKeepNoProbeWaiting(t *testing.T) {
	_, dial := openFor(t, defaultGrace)
	for _, address := range []string{"127.0.0.1:6379", "127.0.0.1:8080"} {
		silent(t, dial, address, 4*maxConns)
		if code, body := get(t, dial, "http://127.0.0.1:8080/healthz", "kube-probe/1.36"); code != http.StatusOK {
			t.Errorf("a probe behind silent clients of %s: %d %s", address, code, body)
		}
	}
}

// A burst of clients is served, not cut: each waits for a place of one that was
// answered. The graces are such that a slow machine does not matter.
func TestClientsOfABurstAreAnswered(t *testing.T) {
	_, dial := openFor(t, grace{silent: time.Hour, spoken: time.Hour})
	var clients sync.WaitGroup
	for range 2 * maxConns {
		clients.Go(func() {
			code, _, err := ask(dial, "http://127.0.0.1:8080/", "curl/8", 10*time.Second)
			if err != nil || code != http.StatusServiceUnavailable {
				t.Errorf("a client of many: %d, %v", code, err)
			}
		})
	}
	clients.Wait()
}

// Who has spoken is answered although many silent ones came after it, before its
// request was whole.
func TestSilentClientsPushNobodyOutWhoSpoke(t *testing.T) {
	_, dial := openFor(t, grace{silent: time.Nanosecond, spoken: time.Hour})
	conn, err := dial(t.Context(), "tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: here\r\n")
	silent(t, dial, "127.0.0.1:8080", 4*maxConns)
	get(t, dial, "http://127.0.0.1:8080/healthz", "kube-probe/1.36") // those before it were all taken
	fmt.Fprintf(conn, "\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the client that spoke first: %v, %v", resp, err)
	}
}

func TestGRPCProbes(t *testing.T) {
	_, dial := openFor(t, defaultGrace)
	for agent, want := range map[string]bool{"kube-probe/1.36": true, "client/1": false} {
		conn, err := grpc.NewClient("passthrough:///127.0.0.1:9000", grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(agent))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "x"})
		cancel()
		if got := err == nil && resp.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING; got != want {
			t.Errorf("check by %s: %v, %v", agent, resp, err)
		}
		conn.Close()
	}
}

func TestEveryPortIsAnsweredUntilClose(t *testing.T) {
	s, dial := openFor(t, defaultGrace)
	for _, address := range []string{"127.0.0.1:22", "127.0.0.1:65535", "[::1]:6379"} {
		conn, err := dial(t.Context(), "tcp", address) // as a TCP probe does, and stays
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		defer func() {
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection to %s outlived Close: %v", address, err)
			}
		}()
	}
	s.Close()
	if conn, err := dial(t.Context(), "tcp", "127.0.0.1:22"); err == nil {
		conn.Close()
		t.Error("a port is answered after Close")
	}
}

func TestOpenLeavesNothingWhenItFails(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "ns"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of no namespace = %v", err)
	}
}
