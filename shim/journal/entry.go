// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// version is what this package writes. Readers leave fields that they do not
// know alone, so that only a change of meaning needs another one.
const version = 1

// An Entry is a verb that has ended.
type Entry struct {
	Version int `json:"v"`
	// Verb is Pause, Resume, Commit, or Restore: a new task from a snapshot.
	Verb      string `json:"verb"`
	Namespace string `json:"namespace"`
	Sandbox   string `json:"sandbox"`
	// Start is when the request came.
	Start time.Time `json:"start"`
	// Phases follow each other without gaps from Start to the end.
	Phases []Phase `json:"phases"`
	// Cause is empty if the verb did what it was asked for; else the class of
	// its error, in containerd's words: failed_precondition, unavailable, ….
	Cause string `json:"cause,omitempty"`
	// Error is its text, cut to a bounded length.
	Error string `json:"error,omitempty"`
	// Scope and Snapshot say what was made or used.
	Scope    string `json:"scope,omitempty"`
	Snapshot string `json:"snapshot,omitempty"`
	// Store is the name of the store that a Commit went to; a store that was
	// given as a URL has none.
	Store string `json:"store,omitempty"`
	// Bytes is the snapshot's size before compression, Sent what went to the store.
	Bytes int64 `json:"bytes,omitempty"`
	Sent  int64 `json:"sent,omitempty"`
	// TraceParent is the caller's span, as W3C Trace Context writes it, if it
	// told of one.
	TraceParent string `json:"traceparent,omitempty"`
}

// A Phase is a named stretch of a verb, in nanoseconds.
type Phase struct {
	Name  string `json:"name"`
	Nanos int64  `json:"ns"`
}

// Took is the sum of the phases.
func (e *Entry) Took() time.Duration {
	var sum int64
	for _, p := range e.Phases {
		sum += p.Nanos
	}
	return time.Duration(sum)
}

// maxError bounds the error's text, and maxLine the whole line: a reader need
// not look further for its end.
const (
	maxError = 1 << 10
	maxLine  = 64 << 10
)

// encode returns the entry as a line.
func (e *Entry) encode() ([]byte, error) {
	line := *e
	line.Version = version
	line.Error = cut(line.Error)
	b, err := json.Marshal(&line)
	if err != nil {
		return nil, fmt.Errorf("encode journal entry: %w", err)
	}
	if len(b) >= maxLine {
		return nil, fmt.Errorf("encode journal entry: %d bytes are more than the %d of a line", len(b), maxLine)
	}
	return append(b, '\n'), nil
}

// cut shortens a text to maxError bytes, between two characters.
func cut(s string) string {
	if len(s) <= maxError {
		return s
	}
	end := maxError
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// decode reads a line.
func decode(line []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("decode journal entry: %w", err)
	}
	if e.Version < 1 || e.Version > version {
		return nil, fmt.Errorf("decode journal entry: version %d is not one that this binary knows (1 to %d)", e.Version, version)
	}
	return &e, nil
}
