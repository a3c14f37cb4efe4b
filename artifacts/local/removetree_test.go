// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestRemoveTreeOutlastsAWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "busy")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 5000 {
			// Fails once the directory is gone.
			if os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600) != nil {
				return
			}
		}
	}()
	err := RemoveTree(dir)
	<-written
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}
