// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesAreForgottenAndRecalled(t *testing.T) {
	const pages = 256
	dir := t.TempDir()
	path := filepath.Join(dir, "image", "pages.img")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), pages*os.Getpagesize()), 0o644); err != nil {
		t.Fatal(err)
	}
	cached := func() uint64 {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var in unix.Cachestat_t
		if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &in, 0); err != nil {
			t.Fatal(err)
		}
		return in.Cache
	}
	if err := Settle(dir); err != nil {
		t.Fatal(err)
	}
	if err := Forget(dir); err != nil {
		t.Fatal(err)
	}
	if n := cached(); n != 0 {
		t.Errorf("%d of %d pages are in the page cache, want none", n, pages)
	}
	if err := Recall(dir); err != nil {
		t.Fatal(err)
	}
	if n := cached(); n != pages {
		t.Errorf("%d of %d pages are in the page cache, want all", n, pages)
	}
}
