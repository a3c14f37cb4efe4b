// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

// A link serves a store's directory over S3's protocol, as far as a restore
// uses it, and as badly as a test wants.
type link struct {
	dir string
	// firstByte is added to each answer, rate bounds each connection in bytes a
	// second (0: unbounded).
	firstByte time.Duration
	rate      int
	// fails says how to answer the nth request instead; nil for never.
	fails func(n int64, w http.ResponseWriter) bool

	requests, sent atomic.Int64
}

// store returns the job.Store that reads through l.
func (l *link) store(t testing.TB) job.Store {
	t.Helper()
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	query := url.Values{"endpoint": {server.URL}, "use_path_style": {"true"}, "region": {"here"}}
	return job.Store{Name: "link", URL: "s3://bucket?" + query.Encode(), Env: map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
	}}
}

func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := l.requests.Add(1)
	time.Sleep(l.firstByte) // this is the distance that the link has
	if l.fails != nil && l.fails(n, w) {
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/bucket/")
	if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		http.Error(w, "this link is for reading", http.StatusForbidden)
		return
	}
	f, err := os.Open(filepath.Join(l.dir, filepath.Clean("/"+key)))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchKey</Code></Error>`)
		return
	}
	defer f.Close()
	http.ServeContent(&pacedWriter{ResponseWriter: w, link: l, start: time.Now()}, r, "", time.Time{}, f)
}

// A pacedWriter sends as fast as a link's connection does.
type pacedWriter struct {
	http.ResponseWriter
	link  *link
	start time.Time
	n     int
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += n
	w.link.sent.Add(int64(n))
	if w.link.rate > 0 {
		time.Sleep(time.Duration(w.n)*time.Second/time.Duration(w.link.rate) - time.Since(w.start)) // a slow link is what is tested
	}
	return n, err
}

func TestSandboxWakesOverABadLink(t *testing.T) {
	s := newSandbox(t, "-random=24")
	s.start()
	before := s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	url, storeDir, id := upload(t, draft)
	for name, l := range map[string]*link{
		"slow": {firstByte: 5 * time.Millisecond, rate: 50 << 20},
		"every third request refused": {fails: func(n int64, w http.ResponseWriter) bool {
			if n%3 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n%3 == 0
		}},
		"every third answer cut": {fails: func(n int64, w http.ResponseWriter) bool {
			if n%3 == 0 {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(make([]byte, 1000))
				panic(http.ErrAbortHandler)
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			l.dir = storeDir
			statusFile := filepath.Join(t.TempDir(), "status")
			s.rewind(before)
			if err := s.restore(job.Seat{
				Version: job.SeatVersion, Mode: job.Restore, Dir: fetchLazily(t, url, id), Store: l.store(t), Status: statusFile,
			}); err != nil {
				t.Fatal(err)
			}
			sameMemory(t, before, s.ask("sum"))
			if st := readStatus(t, statusFile); st.Error != "" {
				t.Errorf("status says %q", st.Error)
			}
			s.delete()
		})
	}
	s.t = t
}

func TestSandboxEndsWhenItsStoreIsGone(t *testing.T) {
	s := newSandbox(t, "-random=24")
	s.start()
	before := s.ask("sum")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	url, storeDir, id := upload(t, draft)
	l := &link{dir: storeDir, fails: func(n int64, w http.ResponseWriter) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	}}
	statusFile := filepath.Join(t.TempDir(), "status")
	if err := s.restore(job.Seat{
		Version: job.SeatVersion, Mode: job.Restore, Dir: fetchLazily(t, url, id), Store: l.store(t), Status: statusFile,
	}); err == nil {
		if a, err := s.tryAsk("sum", 2*time.Second); err == nil {
			t.Errorf("the guest answers %+v", a)
		}
	}
	st := readStatus(t, statusFile)
	if st.Code != "permission_denied" || strings.Contains(st.Error, "secret") {
		t.Errorf("status has code %q, says %q", st.Code, st.Error)
	}
	s.delete()
	// The snapshot is as it was.
	s.rewind(before)
	l.fails = nil
	if err := s.restore(job.Seat{
		Version: job.SeatVersion, Mode: job.Restore, Dir: fetchLazily(t, url, id), Store: l.store(t),
	}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
}
