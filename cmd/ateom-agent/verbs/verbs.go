// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package verbs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ateom/ateom/cmd/wire"
)

// Kubernetes' names (RFC 1123), and ours for stores: none of them can be taken
// for a flag, a path or a URL.
var (
	podName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	labelName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	storeName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
)

// maxBody bounds a request's body, which is a handful of words.
const maxBody = 4 << 10

// A Handler answers
//
//	GET  /v1/namespaces/NS/pods/POD/status
//	POST /v1/namespaces/NS/pods/POD/pause, resume, commit
//	GET  /v1/namespaces/NS/snapshots
type Handler struct {
	// Program is the path of ctr-ateom.
	Program string
	// DefaultStore is the node's.
	DefaultStore string
}

// Register adds the routes to a mux.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+wire.PodPath("{namespace}", "{pod}", wire.StatusVerb), unhurried(h.pod(wire.StatusVerb)))
	for _, verb := range wire.PodVerbs {
		mux.HandleFunc("POST "+wire.PodPath("{namespace}", "{pod}", verb), unhurried(h.pod(verb)))
	}
	mux.HandleFunc("GET "+wire.SnapshotsPath("{namespace}"), unhurried(h.snapshots))
}

// unhurried lifts the server's limit on an answer: a commit takes as long as its
// bytes do, and a list as long as its store.
func unhurried(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		h(w, r)
	}
}

// flags are a request's as ctr-ateom takes them.
func flags(r *wire.Request) ([]string, error) {
	var args []string
	switch r.Scope {
	case "":
	case "Full", "Data":
		args = append(args, "--scope", r.Scope)
	default:
		return nil, fmt.Errorf("scope: want Full or Data, got %q", r.Scope)
	}
	if r.Store != "" {
		if !storeName.MatchString(r.Store) {
			return nil, fmt.Errorf("store: want the name of a store in the node's configuration, got %q", r.Store)
		}
		args = append(args, "--store", r.Store)
	}
	return args, nil
}

// pod answers with what a verb does to a pod's sandbox.
func (h *Handler) pod(verb string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		namespace, name := r.PathValue("namespace"), r.PathValue("pod")
		if !labelName.MatchString(namespace) || !podName.MatchString(name) {
			refuse(w, "invalid_argument", 2, "no pod can be called %s/%s", namespace, name)
			return
		}
		var request wire.Request
		if verb == "commit" {
			if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&request); err != nil && err != io.EOF {
				refuse(w, "invalid_argument", 2, "read request: %v", err)
				return
			}
		}
		options, err := flags(&request)
		if err != nil {
			refuse(w, "invalid_argument", 2, "%v", err)
			return
		}
		id, err := h.sandbox(r.Context(), namespace, name)
		var failed *wire.Failure
		if errors.As(err, &failed) {
			fail(w, failed)
			return
		}
		if err != nil {
			refuse(w, "unavailable", 5, "%v", err)
			return
		}
		if id == "" {
			refuse(w, "not_found", 3, "pod %s/%s has no sandbox of this runtime on this node", namespace, name)
			return
		}
		answer(w, h.run(r.Context(), append(append([]string{"tasks", verb, "--json"}, options...), id)...))
	}
}

// over are the failures of a status that mean that a sandbox has ended, or that
// another runtime's is meant.
var over = []string{"not_found", "failed_precondition", "not_implemented"}

// sandbox returns the id of the pod's sandbox that lives; "" if there is none. If
// one would not say how it is, the error is a wire.Failure.
func (h *Handler) sandbox(ctx context.Context, namespace, name string) (string, error) {
	filter := fmt.Sprintf(`labels."io.cri-containerd.kind"==sandbox,labels."io.kubernetes.pod.namespace"==%q,labels."io.kubernetes.pod.name"==%q`, namespace, name)
	out := h.run(ctx, "containers", "ls", "--quiet", filter)
	if out.err != nil {
		return "", fmt.Errorf("find the sandbox of pod %s/%s: %w: %s", namespace, name, out.err, bytes.TrimSpace(out.stderr))
	}
	var mute error
	for id := range strings.FieldsSeq(string(out.stdout)) {
		// Those that have ended stay on containerd's list for a while.
		var answered struct {
			wire.Status
			wire.Document
		}
		s := h.run(ctx, "tasks", wire.StatusVerb, "--json", id)
		switch err := json.Unmarshal(s.stdout, &answered); {
		case err != nil:
			mute = fmt.Errorf("status of sandbox %s: %w: %s", id, s.err, bytes.TrimSpace(s.stderr))
		case answered.State != "" && answered.State != wire.Stopped:
			return id, nil
		case answered.Error != nil && !slices.Contains(over, answered.Error.Code):
			mute = answered.Error
		}
	}
	return "", mute
}

// snapshots lists those that the pods of a namespace have committed.
func (h *Handler) snapshots(w http.ResponseWriter, r *http.Request) {
	namespace, store := r.PathValue("namespace"), r.URL.Query().Get(wire.StoreParam)
	if store == "" {
		store = h.DefaultStore
	}
	if !labelName.MatchString(namespace) || !storeName.MatchString(store) {
		refuse(w, "invalid_argument", 2, "no such namespace or store: %s, %q", namespace, store)
		return
	}
	answer(w, h.run(r.Context(), "snapshots", "ls", "--json", "--store", store+"/"+namespace))
}

// A result is how ctr-ateom ended.
type result struct {
	stdout, stderr []byte
	err            error
}

func (h *Handler) run(ctx context.Context, args ...string) result {
	cmd := exec.CommandContext(ctx, h.Program, append([]string{"--namespace", "k8s.io"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return result{stdout.Bytes(), stderr.Bytes(), err}
}

// answer passes on what ctr-ateom says, which is one JSON value however it ends.
func answer(w http.ResponseWriter, r result) {
	if !json.Valid(r.stdout) {
		refuse(w, "internal", 1, "ctr-ateom: %v: %s", r.err, bytes.TrimSpace(r.stderr))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(r.stdout)
}

// refuse answers in the form of ctr-ateom's failures; the status is 200, as it is
// for those.
func refuse(w http.ResponseWriter, code string, exit int, format string, args ...any) {
	fail(w, &wire.Failure{Code: code, Message: fmt.Sprintf(format, args...), Exit: exit})
}

func fail(w http.ResponseWriter, f *wire.Failure) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(wire.Document{Error: f})
}
