// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command memhog is the program that the bench puts to sleep: it holds a known
// amount of memory, a nonce that exists nowhere else and a counter, and
// answers over HTTP so that the bench can tell a restored process from a new
// one.
//
//	GET /            {"nonce", "counter", "began", "file"}; counts the call
//	GET /ready       200, and counts nothing: for readiness probes
//	GET /digest      SHA-256 of the memory it holds; reads every page
//	GET /touch?percent=P&run=N&seed=S
//	                 writes new content into P % of the pages, in runs of N
//	GET /files?count=N&size=B
//	                 writes N files of B bytes below -dir
//
// With -pulse it also knows when it was frozen:
//
//	GET /gap         {"nanos"}: the longest time it stood still since last asked
//	GET /doze?after=MS
//	                 closes the port -door; it opens MS milliseconds after the
//	                 next freeze, or with &awake=1 after the request
//	GET /opened      {"nanos"}: when the door opened, by the wall clock
//
// and stores the wall clock into the file that -clock names (on a bind mount),
// so that the host can see when the program stood still.
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

func main() {
	mib := flag.Int("mib", 0, "hold this many MiB of memory")
	seed := flag.Uint64("seed", 1, "what the memory's content is derived from")
	listen := flag.String("listen", ":8080", "answer HTTP here")
	dir := flag.String("dir", "/data", "write files below this directory")
	pulse := flag.Duration("pulse", 0, "watch the wall clock, with this much rest between two looks")
	clock := flag.String("clock", "", "with -pulse, store the wall clock into this file")
	door := flag.String("door", ":8081", "with -pulse, the port that opens after a freeze")
	flag.Parse()
	if *pulse > 0 {
		p, err := newPulse(*pulse, *clock, *door)
		if err != nil {
			log.Fatal(err)
		}
		p.serve()
	}
	if err := run(*mib, *seed, *listen, *dir); err != nil {
		log.Fatal(err)
	}
}

func run(mib int, seed uint64, listen, dir string) error {
	h := &hog{memory: newMemory(mib, seed), dir: dir}
	rand.Read(h.nonce[:])
	if err := h.writeFiles(1, 64<<10); err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	h.began = time.Now()
	http.HandleFunc("GET /{$}", h.state)
	http.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("GET /digest", h.digest)
	http.HandleFunc("GET /touch", h.touch)
	http.HandleFunc("GET /files", h.files)
	return http.Serve(l, nil)
}

// A hog is all that must survive.
type hog struct {
	nonce [16]byte
	dir   string
	began time.Time

	mu      sync.Mutex
	counter int64
	memory  memory
}

func (h *hog) state(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	file, err := os.ReadFile(h.path(0))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(file)
	h.counter++
	answer(w, map[string]any{
		"nonce":   hex.EncodeToString(h.nonce[:]),
		"counter": h.counter,
		"began":   h.began.UnixNano(),
		"file":    hex.EncodeToString(sum[:]),
	})
}

func (h *hog) digest(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := h.memory.digest()
	answer(w, map[string]any{"digest": hex.EncodeToString(sum[:])})
}

func (h *hog) touch(w http.ResponseWriter, r *http.Request) {
	percent, err := strconv.ParseFloat(r.FormValue("percent"), 64)
	if err != nil {
		http.Error(w, "percent: "+err.Error(), http.StatusBadRequest)
		return
	}
	run, err := strconv.Atoi(r.FormValue("run"))
	if err != nil || run < 1 {
		http.Error(w, "run: want a number of pages", http.StatusBadRequest)
		return
	}
	seed, err := strconv.ParseUint(r.FormValue("seed"), 10, 64)
	if err != nil {
		http.Error(w, "seed: "+err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	answer(w, map[string]any{"pages": h.memory.touch(percent, run, seed)})
}

func (h *hog) files(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.FormValue("count"))
	if err != nil {
		http.Error(w, "count: "+err.Error(), http.StatusBadRequest)
		return
	}
	size, err := strconv.Atoi(r.FormValue("size"))
	if err != nil {
		http.Error(w, "size: "+err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.writeFiles(count, size); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"files": count})
}

// writeFiles writes files 0 to count-1 with random content.
func (h *hog) writeFiles(count, size int) error {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return err
	}
	content := make([]byte, size)
	for i := range count {
		rand.Read(content)
		if err := os.WriteFile(h.path(i), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (h *hog) path(i int) string { return filepath.Join(h.dir, fmt.Sprintf("file-%06d", i)) }

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// A client that went away is its own business.
	_ = json.NewEncoder(w).Encode(v)
}
