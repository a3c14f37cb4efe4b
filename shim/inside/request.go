// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// SelfAnnotation says what the programs of a sandbox may ask for: a list of
// verbs, separated by commas.
const SelfAnnotation = "ateom.dev/self"

// A Verb is what a program may ask for.
type Verb string

const (
	Commit Verb = "Commit"
	Pause  Verb = "Pause"
)

// ParseSelf reads the annotation's value. Errors are errdefs.ErrInvalidArgument.
func ParseSelf(text string) (map[Verb]bool, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	allowed := map[Verb]bool{}
	for _, word := range strings.Split(text, ",") {
		switch v := Verb(strings.TrimSpace(word)); v {
		case Commit, Pause:
			allowed[v] = true
		default:
			return nil, fmt.Errorf("%s: want %s, %s or both separated by a comma, got %q: %w", SelfAnnotation, Commit, Pause, text, errdefs.ErrInvalidArgument)
		}
	}
	return allowed, nil
}

// A Request is a line of a program's: an id of its own choice, a verb, and for a
// Commit the scope, if it wants another one than on-commit.
type Request struct {
	ID    string
	Verb  Verb
	Scope string
}

// maxRequest bounds a request, in bytes.
const maxRequest = 128

// line is a request's form.
var line = regexp.MustCompile(`^([A-Za-z0-9._:-]{1,64}) (Commit|Pause)(?: (Full|Data))?\n$`)

// ParseRequest reads a request. Text that is none is errdefs.ErrInvalidArgument,
// but the beginning of a line, which may not be all of it yet, is nothing.
func ParseRequest(text string) (*Request, error) {
	m := line.FindStringSubmatch(text)
	switch {
	case m != nil && (m[3] == "" || Verb(m[2]) == Commit):
		return &Request{ID: m[1], Verb: Verb(m[2]), Scope: m[3]}, nil
	case len(text) <= maxRequest && !strings.Contains(text, "\n"):
		return nil, nil
	default:
		return nil, fmt.Errorf("want a line \"<id> Commit [Full|Data]\" or \"<id> Pause\": %w", errdefs.ErrInvalidArgument)
	}
}

// lookInterval is the least time between two looks at the file: whoever writes
// to it without an end does not keep the shim busy.
const lookInterval = 100 * time.Millisecond

// Watch calls handle with what is written to the file, if it is a request or an
// error, until ctx ends; the same text twice in a row is one request. It costs
// nothing while nobody writes.
func (d *Dir) Watch(ctx context.Context, handle func(*Request, error)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch for requests: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(d.requests); err != nil {
		return fmt.Errorf("watch for requests: %w", err)
	}
	seen := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch for requests: %w", err)
			}
		case <-watcher.Events:
		}
		text, err := d.read()
		if err != nil {
			return err
		}
		if text != seen {
			if r, err := ParseRequest(text); r != nil || err != nil {
				seen = text
				handle(r, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookInterval):
		}
	}
}

// read returns the beginning of the file, one byte more than a request may have.
func (d *Dir) read() (string, error) {
	f, err := os.OpenFile(d.requestPath(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("read request: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRequest+1))
	if err != nil {
		return "", fmt.Errorf("read request: %w", err)
	}
	return string(b), nil
}
