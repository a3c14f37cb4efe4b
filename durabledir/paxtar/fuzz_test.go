// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// FuzzReader reads any bytes: each error is an *Error, and what is read can be
// written and read again.
func FuzzReader(f *testing.F) {
	for _, e := range everything() {
		f.Add(pack(f, []entry{e}))
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		archive = bytes.Clone(archive)
		fixChecksums(archive)
		r := NewReader(bytes.NewReader(archive))
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				checkError(t, err)
				return
			}
			content, err := io.ReadAll(r)
			if err != nil {
				checkError(t, err)
				return
			}
			if int64(len(content)) != h.Stored() {
				t.Fatalf("%d bytes of content, want %d", len(content), h.Stored())
			}
			again := unpack(t, pack(t, []entry{{*h, string(content)}}))
			if diff := cmp.Diff([]entry{{*h, string(content)}}, again, cmp.AllowUnexported(entry{})); diff != "" {
				t.Fatalf("read, written and read again (-first +second):\n%s", diff)
			}
		}
	})
}

// fixChecksums lets a changed header through to what is behind the checksum.
func fixChecksums(archive []byte) {
	for at := 0; at+blockSize <= len(archive); at += blockSize {
		if h := archive[at : at+blockSize]; string(h[257:265]) == magic {
			putOctal(h[148:155], checksum(h))
			h[155] = ' '
		}
	}
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var typed *Error
	if !errors.As(err, &typed) || typed.Reason == nil || !errors.Is(err, errdefs.ErrDataLoss) {
		t.Fatalf("error %v (%T), want an *Error with a reason", err, err)
	}
}

// FuzzAppend writes headers of any values and reads them back.
func FuzzAppend(f *testing.F) {
	f.Add("a/b", "user.x", "value", int64(-1), int32(1), uint32(1000), uint32(1<<31), uint32(0o644), "content", int64(0))
	f.Add("\xff", "user.=%", "\x00\n", int64(1)<<60, int32(999999999), uint32(0), uint32(1<<32-2), uint32(0o7777), "", int64(1)<<50)
	f.Fuzz(func(t *testing.T, name, xattr, value string, sec int64, nsec int32, uid, gid, mode uint32, content string, hole int64) {
		name, err := cleanName(name, false)
		if err != nil || name == "." || nsec < 0 || nsec > 999999999 || sec < -1<<62 || sec > 1<<62 || uid == 1<<32-1 || gid == 1<<32-1 || hole < 0 || hole > 1<<62 {
			return // not what stat(2) tells
		}
		h := Header{Type: Regular, Name: name, Mode: mode & 0o7777, UID: uid, GID: gid, ModTime: Time{Sec: sec, Nsec: nsec}, Size: int64(len(content))}
		if xattr != "" && len(xattr) <= maxComponent && bytes.IndexByte([]byte(xattr), 0) < 0 {
			h.Xattrs = []Xattr{{xattr, value}}
		}
		if hole > 0 {
			h.Sparse, h.Size = true, hole+int64(len(content))
			if content != "" {
				h.Extents = []Extent{{hole, int64(len(content))}}
			}
		}
		want := []entry{{h, content}}
		if diff := cmp.Diff(want, unpack(t, pack(t, want)), cmp.AllowUnexported(entry{})); diff != "" {
			t.Fatalf("entry (-written +read):\n%s", diff)
		}
	})
}
