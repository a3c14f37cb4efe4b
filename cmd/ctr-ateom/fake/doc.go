// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fake is a containerd and a shim for the tests of ctr-ateom: real
// servers on real sockets, with a handful of containers whose ids say how they
// behave. Every call that changes something is written to a log.
package fake

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// A Log collects calls, one a line.
type Log struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLog returns a log that writes to w.
func NewLog(w io.Writer) *Log { return &Log{w: w} }

func (l *Log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}

func listen(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}
