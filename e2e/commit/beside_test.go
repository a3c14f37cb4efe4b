// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A turnstile is an S3 server that gives manifests away at once, and everything else
// when it is told to.
type turnstile struct {
	asked chan struct{} // gets a word when somebody stands before it
	// say is closed when the answer is decided: lost, or what is there.
	say  chan struct{}
	lost bool
}

// held is what stands before it: what a snapshot's memory and its volumes are in.
var held = regexp.MustCompile("/(" + artifacts.RecipesPrefix + "|" + artifacts.PacksPrefix + "|snapshots/.*/durable/)")

// newTurnstile puts one in front of a server and returns the URL of a bucket behind it.
func newTurnstile(t *testing.T) (_ *turnstile, store string) {
	t.Helper()
	_, address := storetest.S3(t)
	ts := &turnstile{asked: make(chan struct{}, 100), say: make(chan struct{})}
	// The signature of a request covers the name that its client used.
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && held.MatchString(r.URL.Path) {
			ts.asked <- struct{}{}
			select {
			case <-ts.say:
			case <-r.Context().Done():
			}
			if ts.lost {
				http.Error(w, `<Error><Code>NoSuchKey</Code></Error>`, http.StatusNotFound)
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return ts, storetest.S3URL("bucket", strings.TrimPrefix(server.URL, "http://"))
}

// The sandbox of a start from a store is made while its memory and its DurableDirs are
// fetched. A fetch that fails then fails the start, and leaves nothing.
func TestASandboxIsMadeWhileItsSnapshotIsFetched(t *testing.T) {
	for name, lost := range map[string]bool{"that comes": false, "that is lost": true} {
		t.Run(name, func(t *testing.T) {
			durable := map[string]string{"ateom.dev/durable-dirs": `[{"name":"data","mountPath":"/data"}]`}
			ts, store := newTurnstile(t)
			n := harness.NewNode(t, harness.Config{Config: config.Config{Stores: map[string]config.Store{"s3": {URL: store}}, DefaultStore: "s3"}})
			args := []string{"sh", "-c", script}
			origin := n.Run(t, harness.Container{Args: args, Annotations: durable})
			before := next(t, origin)
			id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", origin.ID))
			durable["ateom.dev/restore-from"], durable["ateom.dev/store"] = id, "s3"
			woken := n.Create(t, harness.Container{Args: args, Annotations: durable})
			made := make(chan error, 1)
			ctx := n.Context(t)
			go func() {
				var err error
				woken.Task, err = woken.Container.NewTask(ctx, cio.LogFile(woken.LogPath))
				made <- err
			}()
			<-ts.asked
			harness.Eventually(t, func() error {
				for _, p := range woken.Processes(t) {
					if strings.Contains(p, "runsc-sandbox ") {
						return nil
					}
				}
				return errors.New("there is no sandbox")
			})
			select {
			case err := <-made:
				t.Fatalf("Create has ended (%v), and nothing has come", err)
			default:
			}
			ts.lost = lost
			close(ts.say)
			err := <-made
			if !lost {
				if err != nil {
					t.Fatal(err)
				}
				if err := woken.Start(ctx); err != nil {
					t.Fatal(err)
				}
				wantSameLife(t, before, next(t, woken))
				return
			}
			if err == nil || !strings.Contains(err.Error(), "fetch snapshot "+id) {
				t.Errorf("Create = %v, want what the fetch has missed", err)
			}
			woken.AwaitNoProcesses(t)
			for _, left := range []string{
				filepath.Join(n.Config.StateDir, "drafts", "*"), filepath.Join(n.Config.StateDir, "volumes", n.Namespace, woken.ID),
				filepath.Join(n.Config.RunDir, "sandboxes", n.Namespace, woken.ID),
			} {
				if found, err := filepath.Glob(left); err != nil || len(found) > 0 {
					t.Errorf("left: %q, %v", found, err)
				}
			}
		})
	}
}
