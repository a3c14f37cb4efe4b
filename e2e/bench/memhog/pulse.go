// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// asleep is the gap after which a pulse takes itself to have been frozen:
// longer than a busy machine keeps a thread from running.
const asleep = 50 * time.Millisecond

// A pulse looks at the wall clock without end, and so knows when the program
// stood still.
type pulse struct {
	// beat is how long it rests between two looks: what it tells is true to
	// about this.
	beat   time.Duration
	shared *atomic.Int64 // what the host sees; may be nil

	mu      sync.Mutex
	longest time.Duration
	// after is how long after the next freeze door is to be listened on.
	after  time.Duration
	door   string
	open   net.Listener
	opened time.Time
}

// newPulse starts a pulse. If path is not empty, the latest time is stored in
// that file, which it makes: nanoseconds since 1970 in native byte order.
func newPulse(beat time.Duration, path, door string) (*pulse, error) {
	p := &pulse{beat: beat, door: door}
	if path != "" {
		var err error
		if p.shared, err = mapClock(path); err != nil {
			return nil, err
		}
	}
	go p.run()
	return p, nil
}

func (p *pulse) run() {
	// The wall clock, not the monotonic one: that may stand still in a freeze.
	last := time.Now().UnixNano()
	for {
		now := time.Now().UnixNano()
		if p.shared != nil {
			p.shared.Store(now)
		}
		p.note(time.Duration(now - last))
		last = now
		time.Sleep(p.beat)
	}
}

// note records the time between two beats.
func (p *pulse) note(gap time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest = max(p.longest, gap)
	if gap > asleep && p.after > 0 {
		time.AfterFunc(p.after, p.openDoor)
		p.after = 0
	}
}

// gap returns the longest time between two beats since it was last asked.
func (p *pulse) gap() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.longest
	p.longest = 0
	return g
}

// doze closes the door and has it opened again some time after the next freeze, or
// after now.
func (p *pulse) doze(after time.Duration, awake bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after, p.opened = after, time.Time{}
	if awake {
		p.after = 0
		time.AfterFunc(after, p.openDoor)
	}
	if p.open == nil {
		return nil
	}
	err := p.open.Close()
	p.open = nil
	return err
}

// openDoor listens on the door's address and notes when.
func (p *pulse) openDoor() {
	l, err := net.Listen("tcp", p.door)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open door:", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.opened = l, time.Now()
	go serveDoor(l)
}

// serveDoor answers every readiness probe with yes until l is closed: HTTP, and
// gRPC's health service, whose every answer is the message SERVING.
func serveDoor(l net.Listener) {
	door := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			w.Header().Set("Trailer", "Grpc-Status")
			_, _ = io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
			w.Header().Set("Grpc-Status", "0")
		}
	})}
	door.Protocols.SetHTTP1(true)
	door.Protocols.SetUnencryptedHTTP2(true)
	_ = door.Serve(l)
}

// openedAt returns when the door was last opened; zero while it is closed.
func (p *pulse) openedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// serve adds what a pulse answers to the default HTTP handler.
func (p *pulse) serve() {
	http.HandleFunc("GET /gap", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"nanos": p.gap().Nanoseconds()})
	})
	http.HandleFunc("GET /opened", func(w http.ResponseWriter, _ *http.Request) {
		at := p.openedAt()
		if at.IsZero() {
			http.Error(w, "the door is closed", http.StatusServiceUnavailable)
			return
		}
		answer(w, map[string]any{"nanos": at.UnixNano()})
	})
	http.HandleFunc("GET /doze", func(w http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(r.FormValue("after"))
		if err == nil {
			err = p.doze(time.Duration(ms)*time.Millisecond, r.FormValue("awake") != "")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, map[string]any{})
	})
}

func mapClock(path string) (*atomic.Int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return nil, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return (*atomic.Int64)(unsafe.Pointer(&b[0])), nil
}
