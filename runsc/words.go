// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// What is quoted of a sandbox that died: some lines from the panic on, the
// others tell where each goroutine was.
const (
	maxWordLines = 8
	maxWords     = 1 << 10 // bytes
)

// A report of Go's runtime, or of runsc, begins with one of these.
var firstWords = []string{"panic: ", "fatal error: ", "runtime: ", "SIG"}

// LastWords returns what the present sandbox's process said when it died, as
// one line of at most maxWords bytes; "" if it said nothing, as one that was
// killed.
func (r *Runsc) LastWords() string {
	if r.PanicLog == "" {
		return ""
	}
	f, err := os.Open(r.PanicLog)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLogTail))
	if err != nil {
		return ""
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	// The first one is why; what follows may follow from it.
	begin := slices.IndexFunc(lines, func(line string) bool {
		return slices.ContainsFunc(firstWords, func(w string) bool { return strings.HasPrefix(line, w) })
	})
	if begin < 0 {
		begin = max(0, len(lines)-maxWordLines)
	}
	return clip(strings.Join(lines[begin:min(len(lines), begin+maxWordLines)], " | "), maxWords)
}

// ForgetWords removes what an earlier sandbox said.
func (r *Runsc) ForgetWords() error {
	if r.PanicLog == "" {
		return nil
	}
	if err := os.Remove(r.PanicLog); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the last sandbox's panic log: %w", err)
	}
	return nil
}

// quoteWords is how an error ends that has last words; "" without them.
func quoteWords(words string) string {
	if words == "" {
		return ""
	}
	return fmt.Sprintf("; the sandbox's last words: %q", words)
}
