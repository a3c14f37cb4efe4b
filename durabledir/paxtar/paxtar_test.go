// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// An entry is a header and its content.
type entry struct {
	Header
	content string
}

// everything is one of each kind of entry, at the edges of what a header holds.
func everything() []entry {
	long := strings.Repeat("long/", 30) + "name"
	return []entry{
		{Header{Type: Dir, Name: ".", Mode: 0o755, ModTime: Time{Sec: 1, Nsec: 999999999}}, ""},
		{Header{Type: Dir, Name: "dir", Mode: 0o1777, Xattrs: []Xattr{{"user.a", "1"}, {"user.b", "2"}}}, ""},
		{Header{Type: Regular, Name: "file", Mode: 0o4755, UID: 1, GID: 2, Size: 5, ModTime: Time{Sec: 1 << 30}}, "hello"},
		{Header{Type: Regular, Name: "block", Size: 512}, strings.Repeat("b", 512)},
		{Header{Type: Regular, Name: "ids", UID: 1 << 21, GID: 1<<32 - 2}, ""},
		{Header{Type: Regular, Name: "ids that just fit", UID: 1<<21 - 1, GID: 1<<21 - 1}, ""},
		{Header{Type: Regular, Name: "before 1970", ModTime: Time{Sec: -2, Nsec: 500000000}}, ""},
		{Header{Type: Regular, Name: "just before 1970", ModTime: Time{Sec: -1, Nsec: 1}}, ""},
		{Header{Type: Regular, Name: "long ago", ModTime: Time{Sec: -1 << 40}}, ""},
		{Header{Type: Regular, Name: "far away", ModTime: Time{Sec: 1 << 40, Nsec: 10}}, ""},
		{Header{Type: Regular, Name: long}, ""},
		{Header{Type: Dir, Name: strings.Repeat("d", 99)}, ""},
		{Header{Type: Dir, Name: strings.Repeat("d", 100)}, ""},
		{Header{Type: Regular, Name: strings.Repeat("n", 100)}, ""},
		{Header{Type: Regular, Name: "naïve"}, ""},
		{Header{Type: Regular, Name: "\xff"}, ""},
		{Header{Type: Regular, Name: "line\nbreak = 1 "}, ""},
		{Header{Type: Regular, Name: "x", Xattrs: []Xattr{
			{"security.capability", "\x01\x00\x00\x02\x00"}, {"user.", ""}, {"user.a=b%c", "=\n\x00"}, {"user.empty", ""}}}, ""},
		{Header{Type: Regular, Name: "shared", Size: 1, Shared: "8-1f"}, "s"},
		{Header{Type: Link, Name: "link", Linkname: "file"}, ""},
		{Header{Type: Link, Name: "link to long", Linkname: long}, ""},
		{Header{Type: Symlink, Name: "symlink", Linkname: "/../\xfe", Mode: 0o777}, ""},
		{Header{Type: Symlink, Name: "long symlink", Linkname: strings.Repeat("../", 1000), Mode: 0o777}, ""},
		{Header{Type: CharDevice, Name: "null", Mode: 0o666, Major: 1, Minor: 3}, ""},
		{Header{Type: BlockDevice, Name: "disk", Mode: 0o660, Major: 4095, Minor: 1<<20 - 1}, ""},
		{Header{Type: FIFO, Name: "fifo"}, ""},
		{Header{Type: Regular, Name: "sparse", Size: 1 << 40, Sparse: true, Extents: []Extent{{0, 2}, {4096, 3}}}, "abcde"},
		{Header{Type: Regular, Name: "dir/sparse to its end", Size: 8195, Sparse: true, Extents: []Extent{{8192, 3}}}, "abc"},
		{Header{Type: Regular, Name: "all hole", Size: 1 << 50, Sparse: true}, ""},
		{Header{Type: Regular, Name: "sparse \xfe", Size: 5, Sparse: true, ModTime: Time{Nsec: 5}}, ""},
	}
}

func pack(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b []byte
	for _, e := range entries {
		var err error
		if b, err = Append(b, &e.Header); err != nil {
			t.Fatal(err)
		}
		b = append(b, e.content...)
		b = append(b, Padding(int64(len(e.content)))...)
	}
	return append(b, End...)
}

func unpack(t testing.TB, archive []byte) []entry {
	t.Helper()
	var entries []entry
	r := NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if r.Offset() != int64(len(archive)) {
				t.Errorf("%d of %d bytes read", r.Offset(), len(archive))
			}
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry{*h, string(content)})
	}
}

func TestWhatAppendWritesIsReadBack(t *testing.T) {
	want := everything()
	if diff := cmp.Diff(want, unpack(t, pack(t, want)), cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("entries (-written +read):\n%s", diff)
	}
}

// The bytes are a promise: archives of this version look like this one.
func TestBytesAreThoseOfTheGoldenArchive(t *testing.T) {
	const name = "testdata/v1.tar"
	got := pack(t, everything())
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("other bytes than in %s: this is a new version of the format", name)
	}
}

// archive/tar is an independent reader.
func TestArchiveTarReadsTheSame(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(pack(t, everything())))
	for _, want := range everything() {
		got, err := r.Next()
		if err != nil {
			t.Fatalf("%q: %v", want.Name, err)
		}
		name := want.Name
		if want.Type == Dir {
			name += "/"
		}
		type attributes struct {
			Name, Linkname string
			Type           byte
			Mode, Size     int64
			UID, GID       int
			Major, Minor   int64
			ModTime        int64
			Nsec           int
		}
		a := attributes{name, want.Linkname, byte(want.Type), int64(want.Mode), want.Size, int(want.UID), int(want.GID),
			int64(want.Major), int64(want.Minor), want.ModTime.Sec, int(want.ModTime.Nsec)}
		b := attributes{got.Name, got.Linkname, got.Typeflag, got.Mode, got.Size, got.Uid, got.Gid,
			got.Devmajor, got.Devminor, got.ModTime.Unix(), got.ModTime.Nanosecond()}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%q (-written +read):\n%s", want.Name, diff)
		}
		xattrs := map[string]string{}
		for _, x := range want.Xattrs {
			xattrs["SCHILY.xattr."+strings.NewReplacer("%", "%25", "=", "%3D").Replace(x.Name)] = x.Value
		}
		maps.DeleteFunc(got.PAXRecords, func(key, _ string) bool { return !strings.HasPrefix(key, "SCHILY.") })
		if !maps.Equal(xattrs, got.PAXRecords) {
			t.Errorf("%q: attributes %q, want %q", want.Name, got.PAXRecords, xattrs)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last entry: %v, want io.EOF", err)
	}
}

// archive/tar is an independent writer too.
func TestReaderTakesWhatArchiveTarWrites(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	when := time.Unix(1_600_000_000, 123_456_789)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755, ModTime: when, Format: tar.FormatPAX},
		{Typeflag: tar.TypeReg, Name: "./" + strings.Repeat("dir/", 40) + "file", Mode: 0o600, Size: 3, ModTime: when, Uname: "somebody", Format: tar.FormatPAX},
		{Typeflag: tar.TypeReg, Name: strings.Repeat("dir/", 30) + "prefixed", Size: 3, Format: tar.FormatUSTAR},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, "abc")
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := unpack(t, b.Bytes())
	stamp := Time{Sec: 1_600_000_000, Nsec: 123_456_789}
	want := []entry{
		{Header{Type: Dir, Name: ".", Mode: 0o755, ModTime: stamp}, ""},
		{Header{Type: Regular, Name: strings.Repeat("dir/", 40) + "file", Mode: 0o600, Size: 3, ModTime: stamp}, "abc"},
		{Header{Type: Regular, Name: strings.Repeat("dir/", 30) + "prefixed", Size: 3}, "abc"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestNextSkipsContent(t *testing.T) {
	want := everything()
	r := NewReader(bytes.NewReader(pack(t, want)))
	for i := range want {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != want[i].Name {
			t.Errorf("entry %d is %q, want %q", i, h.Name, want[i].Name)
		}
	}
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v, want io.EOF each time", err)
		}
	}
}

func TestTooManyAttributesAreAnError(t *testing.T) {
	h := Header{Type: Regular, Name: "f"}
	for i := range 17 {
		h.Xattrs = append(h.Xattrs, Xattr{Name: "user." + string(rune('a'+i)), Value: strings.Repeat("x", 64<<10)})
	}
	if _, err := Append(nil, &h); err == nil || !strings.Contains(err.Error(), `"f"`) {
		t.Errorf("error %v, want one that names the entry", err)
	}
}

func TestContentOver8GiBIsTold(t *testing.T) {
	h := Header{Type: Regular, Name: "huge", Size: 1 << 40}
	b, err := Append(nil, &h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewReader(bytes.NewReader(b)).Next()
	if err != nil || got.Size != h.Size {
		t.Errorf("read %+v, %v; want the size %d", got, err, h.Size)
	}
}
