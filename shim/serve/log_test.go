// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A shim does not wait for ever for a containerd that has died before it could read the log.
func TestALogThatNobodyReadsIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openWithin(path, time.Millisecond); err == nil || !strings.Contains(err.Error(), "containerd has not read "+path) {
		t.Errorf("without a reader: %v", err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // which ends the wait of the first, too
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f, err := openWithin(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
