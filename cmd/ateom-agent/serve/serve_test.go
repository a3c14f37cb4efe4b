// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"

	"github.com/ateom/ateom/shim/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs an agent for a test and returns how to ask it.
func serve(t *testing.T, runDir, address string) (get func(path string) (code int, body string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	serving, ended := make(chan net.Addr, 1), make(chan error, 1)
	cfg := config.Default()
	cfg.RunDir = runDir
	go func() {
		ended <- Serve(ctx, Options{Config: cfg, Listen: address, Version: "test", Serving: func(a net.Addr) { serving <- a }})
	}()
	var at net.Addr
	select {
	case at = <-serving:
	case err := <-ended:
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, at.Network(), at.String())
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		resp, err := (&http.Client{Transport: transport}).Get("http://agent" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
}

func TestServe(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "a.sock")} {
		t.Run(address[:4], func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run") // not there yet
			get := serve(t, run, address)
			if code, body := get("/healthz"); code != http.StatusOK || body != "ok\n" {
				t.Errorf("/healthz = %d %q", code, body)
			}
			if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, `ateom_sandboxes{state="paused"} 0`) {
				t.Errorf("/metrics = %d %s", code, body)
			}
			if code, _ := get("/else"); code != http.StatusNotFound {
				t.Errorf("/else = %d", code)
			}
			if err := os.WriteFile(run, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if code, body := get("/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, run) {
				t.Errorf("/healthz without a run directory = %d %q", code, body)
			}
		})
	}
}

func TestListenReplacesOnlyAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	first, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix://" + path); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("listen at a served socket = %v", err)
	}
	first.SetUnlinkOnClose(false)
	first.Close()
	l, err := listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, bad := range []string{"unix://rel", "nonsense", "127.0.0.1:port"} {
		if _, err := listen(bad); err == nil {
			t.Errorf("listen(%q) succeeded", bad)
		}
	}
}
