// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A footprint is what the sandboxes of a node take of the host.
type footprint struct {
	Processes int
	// Bytes is the proportional set size of all of them.
	Bytes int64
}

// footprint counts runsc's processes on the node; the shim is not one of them.
func (n *node) footprint() (f footprint, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return f, err
	}
	for _, dir := range processes {
		pss, ours, err := n.measure(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return f, fmt.Errorf("measure the sandbox's memory: %w", err)
		}
		if ours {
			f.Processes++
			f.Bytes += pss
		}
	}
	return f, nil
}

// measure returns the proportional set size of a process if it is a runsc of the node.
func (n *node) measure(dir string) (pss int64, ours bool, err error) {
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return 0, false, err
	}
	name, _, _ := bytes.Cut(line, []byte{0})
	if !strings.Contains(filepath.Base(string(name)), "runsc") || !bytes.Contains(line, []byte(n.dir)) {
		return 0, false, nil
	}
	rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return 0, false, err
	}
	lines := bufio.NewScanner(bytes.NewReader(rollup))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "Pss:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, true, err
		}
	}
	return 0, false, fmt.Errorf("%s/smaps_rollup has no Pss", dir)
}
