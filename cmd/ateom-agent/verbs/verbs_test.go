// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package verbs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newHandler returns a handler whose ctr-ateom is a script that notes its
// arguments in the returned file; real ones are in e2e/k8s.
func newHandler(t *testing.T) (mux *http.ServeMux, calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"$*\" >> " + calls + `
case "$*" in
*containers*gone*) ;;
*containers*mute*) echo mute;;
*status*mute*) echo '{"error":{"code":"unavailable","message":"connect to the shim"}}'; exit 5;;
*slow*) sleep 0.3; echo '[]';; # longer than the server's limit
*containers*) echo old; echo id1;;
*status*old*) echo '{"error":{"code":"not_found"}}'; exit 3;;
*status*) echo '{"state":"running"}';;
*) echo '{"done":true}';;
esac
`
	program := filepath.Join(dir, "ctr-ateom")
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	mux = http.NewServeMux()
	(&Handler{Program: program, DefaultStore: "prod"}).Register(mux)
	return mux, calls
}

func TestRequestsBecomeCommands(t *testing.T) {
	for _, tt := range []struct{ method, path, body, call, answer string }{
		{"POST", "/v1/namespaces/a/pods/p/pause", "", "tasks pause --json id1", `"done":true`},
		{"POST", "/v1/namespaces/a/pods/p/resume", "", "tasks resume --json id1", `"done":true`},
		{"POST", "/v1/namespaces/a/pods/p/commit", `{"scope":"Data","store":"prod"}`, "tasks commit --json --scope Data --store prod id1", `"done":true`},
		{"GET", "/v1/namespaces/a/pods/p/status", "", "tasks status --json id1", `"state":"running"`},
		{"GET", "/v1/namespaces/a/snapshots", "", "snapshots ls --json --store prod/a", `"done":true`},
		{"GET", "/v1/namespaces/a/snapshots?store=x", "", "snapshots ls --json --store x/a", `"done":true`},
		{"POST", "/v1/namespaces/a/pods/gone/pause", "", "", `"code":"not_found"`},
		{"POST", "/v1/namespaces/a/pods/mute/pause", "", "", `"message":"connect to the shim"`},
	} {
		mux, calls := newHandler(t)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tt.answer) {
			t.Errorf("%s %s: %d %s, want %s", tt.method, tt.path, w.Code, w.Body, tt.answer)
		}
		made, err := os.ReadFile(calls)
		if err != nil || !strings.Contains(string(made), tt.call) {
			t.Errorf("%s %s: ran %q, %v, want %q", tt.method, tt.path, made, err, tt.call)
		}
	}
}

func TestNothingButNamesIsTaken(t *testing.T) {
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "/v1/namespaces/a/pods/p%22,x/pause", ""},
		{"POST", "/v1/namespaces/A/pods/p/pause", ""},
		{"POST", "/v1/namespaces/a/pods/--help/pause", ""},
		{"POST", "/v1/namespaces/a/pods/p/commit", `{"store":"file:///etc"}`},
		{"POST", "/v1/namespaces/a/pods/p/commit", `{"store":"prod/other"}`},
		{"POST", "/v1/namespaces/a/pods/p/commit", `{"store":"--stop"}`},
		{"POST", "/v1/namespaces/a/pods/p/commit", `{"scope":"None"}`},
		{"POST", "/v1/namespaces/a/pods/p/commit", `nonsense`},
		{"GET", "/v1/namespaces/a/snapshots?store=local/x", ""},
	} {
		mux, calls := newHandler(t)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		if !strings.Contains(w.Body.String(), `"code":"invalid_argument"`) {
			t.Errorf("%s %s %s: %d %s", tt.method, tt.path, tt.body, w.Code, w.Body)
		}
		if made, err := os.ReadFile(calls); err == nil {
			t.Errorf("%s %s %s: ran %q", tt.method, tt.path, tt.body, made)
		}
	}
}

func TestASlowAnswerIsWaitedFor(t *testing.T) {
	mux, _ := newHandler(t)
	server := httptest.NewUnstartedServer(mux)
	server.Config.WriteTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL + "/v1/namespaces/slow/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "[]\n" {
		t.Errorf("a slow list is %q, %v", body, err)
	}
}
