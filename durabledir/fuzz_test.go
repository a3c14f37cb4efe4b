// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/durabledir/treetest"
)

// FuzzRestore restores any bytes. Nothing outside of the volume changes; what
// fails leaves nothing behind; what succeeds is captured and restored again to
// the same bytes.
func FuzzRestore(f *testing.F) {
	for _, cases := range hostileClasses() {
		for _, c := range cases {
			if len(c.archive) < 16<<10 {
				f.Add(c.archive)
			}
		}
	}
	f.Add(tarOf(dirEntry("./"), dirEntry("d/"), fileEntry("d/f", "content"), linkEntry("l", "d/f"), sparseEntry("s", 8192, "1\n4096\n3\n", "abc")))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		fixChecksums(data)
		top := t.TempDir()
		treetest.Write(t, filepath.Join(top, "victim"), "precious")
		before := listing(t, top)
		volume, second := subdir(t, t.TempDir(), "volume"), t.TempDir()
		limits := RestoreOptions{MaxFiles: 100, MaxBytes: 1 << 20, MaxArchive: 1 << 20}
		_, err := Restore(context.Background(), bytes.NewReader(data), volume, limits)
		if diff := cmp.Diff(before, listing(t, top)); diff != "" {
			t.Fatalf("outside of the volume (-before +after):\n%s", diff)
		}
		if err != nil {
			if left := namesIn(t, volume); len(left) > 0 {
				t.Fatalf("after %v there is left %q", err, left)
			}
			return
		}
		var first, again bytes.Buffer
		if _, err := Capture(context.Background(), volume, &first, CaptureOptions{}); err != nil {
			if errors.Is(err, ErrChanged) || errors.Is(err, ErrMount) {
				t.Fatal(err)
			}
			return // names or attributes that take too much room together
		}
		_, err = Restore(context.Background(), bytes.NewReader(first.Bytes()), second, RestoreOptions{})
		must(t, err)
		_, err = Capture(context.Background(), second, &again, CaptureOptions{})
		must(t, err)
		if !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Fatal("restored and captured again, the bytes differ")
		}
	})
}

// fixChecksums lets a changed header through to what is behind the checksum.
func fixChecksums(archive []byte) {
	for at := 0; at+512 <= len(archive); at += 512 {
		h := archive[at : at+512]
		if string(h[257:262]) != "ustar" {
			continue
		}
		copy(h[148:156], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		for i := 153; i >= 148; i-- {
			h[i] = '0' + byte(sum&7)
			sum >>= 3
		}
		h[154] = 0
	}
}
