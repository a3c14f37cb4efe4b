// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"sync"
	"time"

	"github.com/ateom/ateom/shim/stdio"
)

// killedStatus is the exit status of what SIGKILL ended.
const killedStatus = 128 + 9

// A process is a container's first one, or one that was exec'd.
type process struct {
	execID  string // empty for a container's first process
	stdio   stdio.Config
	streams *stdio.Streams

	mu      sync.Mutex
	pid     int // on the host; 0 before it started
	started bool
	status  uint32
	at      time.Time
	exited  chan struct{} // closed when status and at are set
}

func newProcess(execID string, c stdio.Config, s *stdio.Streams) *process {
	return &process{execID: execID, stdio: c, streams: s, exited: make(chan struct{})}
}

// setStarted notes that the process runs as pid.
func (p *process) setStarted(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.started = pid, true
}

// setPid notes another pid for a process that goes on elsewhere.
func (p *process) setPid(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

func (p *process) hostPid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

func (p *process) isStarted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}

// finish sets the exit status and closes the shim's ends of the streams. Only
// the first call counts; it returns true.
func (p *process) finish(status int) bool {
	if !p.end(status) {
		return false
	}
	p.closeStreams()
	return true
}

// end is finish without the streams, which may take their time.
func (p *process) end(status int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hasExited() {
		return false
	}
	p.status, p.at = uint32(status), time.Now()
	close(p.exited)
	return true
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// exit returns the exit status and time; zero values while it runs.
func (p *process) exit() (uint32, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status, p.at
}

// openStreams returns the process's streams.
func (p *process) openStreams() *stdio.Streams {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}

// closeStreams closes the shim's ends. It may take as long as a terminal needs
// to say what is still in it, and holds no lock meanwhile.
func (p *process) closeStreams() { _ = p.openStreams().Close() }

// setStreams gives the process its opened streams.
func (p *process) setStreams(s *stdio.Streams) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams = s
}
