// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// An Error is a runsc call that failed.
type Error struct {
	// Verb is the subcommand.
	Verb string
	// Status is the exit status, if the process ended by itself.
	Status int
	// Err is set where the process could not be waited for or ran out of time.
	Err error
	// Messages are the errors that runsc logged during the call, oldest first,
	// maxQuote bytes in all at most.
	Messages []string
	// LastWords is what the sandbox's process said when it died; see
	// Runsc.LastWords.
	LastWords string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "runsc %s", e.Verb)
	switch {
	case e.Err != nil:
		fmt.Fprintf(&b, ": %v", e.Err)
	case len(e.Messages) == 0:
		fmt.Fprintf(&b, ": exit status %d", e.Status)
	}
	if len(e.Messages) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(e.Messages, "; "))
	}
	return b.String() + quoteWords(e.LastWords)
}

func (e *Error) Unwrap() error { return e.Err }

// IsNotExist reports whether err says that runsc has no such container.
func IsNotExist(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	// Other things may not exist either (a cgroup, a socket): only the answer to
	// looking the container up counts.
	return slices.ContainsFunc(e.Messages, func(m string) bool {
		return strings.Contains(m, "loading container") && strings.HasSuffix(m, "file does not exist")
	})
}

// failed returns the error of a call that has ended badly and began when the
// log had the size mark.
func (r *Runsc) failed(verb string, status int, err error, mark int64) *Error {
	return &Error{Verb: verb, Status: status, Err: err, Messages: r.logSince(mark), LastWords: r.LastWords()}
}

// quote is how an error ends of a call that failed for no reason of runsc's, and began
// when the log had the size mark: with what was said meanwhile; "" if nothing was.
func (r *Runsc) quote(mark int64) string {
	said := quoteWords(r.LastWords())
	if messages := r.logSince(mark); len(messages) > 0 {
		said = fmt.Sprintf("; runsc's last lines: %q", strings.Join(messages, "; ")) + said
	}
	return said
}

// maxMessages and maxQuote, in bytes, bound what an Error quotes of runsc's log,
// and maxLogTail what is read of it. A message may hold two whole specs.
const (
	maxMessages = 4
	maxQuote    = 1 << 10
	maxLogTail  = 256 << 10
)

// logSize returns the present size of the log, to be passed to logSince.
func (r *Runsc) logSize() int64 {
	fi, err := os.Stat(r.Log)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// logSince returns the error messages that were appended to the log after
// mark, as far as they are in its tail. A log that cannot be read costs the
// messages, not the call.
func (r *Runsc) logSince(mark int64) []string {
	f, err := os.Open(r.Log)
	if err != nil {
		return nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil
	}
	if _, err := f.Seek(max(mark, fi.Size()-maxLogTail), io.SeekStart); err != nil {
		return nil
	}
	return errorMessages(io.LimitReader(f, maxLogTail))
}

// errorMessages picks the messages of level error and worse out of a log in
// runsc's JSON form: {"msg": …, "level": …, "time": …}. It returns the last few.
func errorMessages(r io.Reader) []string {
	var messages []string
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLogTail) // a panic's line holds every stack
	for s.Scan() {
		var line struct {
			Msg   string `json:"msg"`
			Level string `json:"level"`
		}
		if json.Unmarshal(s.Bytes(), &line) != nil {
			continue
		}
		switch line.Level {
		case "error", "fatal", "panic":
			messages = append(messages, strings.TrimSpace(line.Msg))
		}
	}
	return bounded(messages)
}

// bounded returns the last few messages, the oldest shortened or left out
// where all are too long.
func bounded(messages []string) []string {
	messages = messages[max(0, len(messages)-maxMessages):]
	left := maxQuote
	for i := len(messages) - 1; i >= 0; i-- {
		if left < minQuote {
			return messages[i+1:]
		}
		messages[i] = clip(messages[i], left)
		left -= len(messages[i])
	}
	return messages
}

// minQuote is the least of a message, in bytes, that is worth a quotation.
const minQuote = 64

// clip shortens a text to n bytes: an error begins with what was tried, and
// ends with the cause.
func clip(text string, n int) string {
	const gap = " … "
	if len(text) <= n {
		return text
	}
	half := (n - len(gap)) / 2
	return strings.ToValidUTF8(text[:half], "") + gap + strings.ToValidUTF8(text[len(text)-half:], "")
}
