// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCounted bounds how many snapshots a node counts; those that were not used
// for the longest time are forgotten.
const maxCounted = 4096

// Count counts one more start from a snapshot and says how many there were, in
// a file that all sandboxes of the node share. A start that fails later counts.
func Count(path, snapshot string) (n int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("count the copies of snapshot %s: %w", snapshot, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close() // and with it the lock
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return 0, err
	}
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if id, count, ok := strings.Cut(s.Text(), " "); ok && id == snapshot {
			n, _ = strconv.Atoi(count) // what is damaged counts from the start
		} else if ok {
			lines = append(lines, s.Text())
		}
	}
	n++
	lines = append(lines, fmt.Sprint(snapshot, " ", n))
	lines = slices.Delete(lines, 0, max(0, len(lines)-maxCounted))
	text := strings.Join(lines, "\n") + "\n"
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return 0, err
	}
	return n, f.Truncate(int64(len(text)))
}
