// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ateom/ateom/e2e/harness"
)

// numbers is what seq 1 n prints.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// A lateReader is the stdin of a program: text, and an end that comes after
// the program's first output, which is written to it.
type lateReader struct {
	text    io.Reader
	started chan struct{}
	once    sync.Once
}

func (r *lateReader) Read(p []byte) (int, error) {
	n, err := r.text.Read(p)
	if err == io.EOF {
		select {
		case <-r.started:
		case <-time.After(harness.Limit):
		}
	}
	return n, err
}

func (r *lateReader) Write(p []byte) (int, error) {
	r.once.Do(func() { close(r.started) })
	return len(p), nil
}

// An exitError is a script that failed.
type exitError struct {
	script string
	code   uint32
	stderr string
}

func (e *exitError) Error() string {
	return fmt.Sprintf("%q ended with exit code %d: %s", e.script, e.code, e.stderr)
}

// moreLines says that a log has fewer lines than wanted.
func moreLines(log string, want int) error {
	if got := strings.Count(log, "\n"); got < want {
		return fmt.Errorf("the log has %d lines, want %d", got, want)
	}
	return nil
}
