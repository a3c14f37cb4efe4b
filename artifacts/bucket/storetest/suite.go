// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// Run runs the suite on stores that open returns, each empty. Every test uses
// one of its own.
// The list that it makes has the given number of objects.
func Run(t *testing.T, objects int, open func(t *testing.T) bucket.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, bucket.Store)
	}{
		{"an object comes back", testRoundTrip},
		{"ranges are exact", testRanges},
		{"a second put replaces", testReplace},
		{"create has one winner", testCreateRace},
		{"create spares what is there", testCreateSpares},
		{"a list is complete and sorted", func(t *testing.T, s bucket.Store) { testList(t, s, objects) }},
		{"what is absent is not found", testAbsent},
		{"a cancelled write leaves nothing", func(t *testing.T, s bucket.Store) { testCancel(t, s, 6<<20, breakpoints) }},
		{"a cancelled write in pieces leaves nothing", func(t *testing.T, s bucket.Store) { testCancel(t, s, large, []int64{9 << 20, large - 1}) }},
		{"a failing body leaves nothing", testFailingBody},
		{"bad keys are refused", testBadKeys},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Bytes returns n bytes that do not compress, the same for the same seed.
func Bytes(seed byte, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func put(t *testing.T, s bucket.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s bucket.Store, key string, offset, length int64) []byte {
	t.Helper()
	r, err := s.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

func testRoundTrip(t *testing.T, s bucket.Store) {
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	for i, size := range []int{0, 1, 4095, 1 << 20, 5<<20 + 1, 20 << 20, large} {
		key := fmt.Sprintf("packs/%02d/x-%d", i, size)
		want := Bytes(byte(i), size)
		put(t, s, key, want)
		if got := get(t, s, key, 0, -1); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes came back and are others", key, len(got))
		}
		info, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if info.Key != key || info.Size != int64(size) || info.ModTime.IsZero() {
			t.Errorf("stat %s: %+v", key, info)
		}
	}
}

func testRanges(t *testing.T, s bucket.Store) {
	want := Bytes(1, 100_000)
	put(t, s, "object", want)
	for _, r := range []struct{ offset, length int64 }{
		{0, 1}, {0, 100_000}, {0, 200_000}, {1, 99_999}, {50_000, 1}, {99_999, 1}, {99_999, 10}, {12_345, -1}, {99_999, -1},
	} {
		end := int64(len(want))
		if r.length >= 0 {
			end = min(end, r.offset+r.length)
		}
		if got := get(t, s, "object", r.offset, r.length); !bytes.Equal(got, want[r.offset:end]) {
			t.Errorf("range %d+%d: %d bytes, want %d", r.offset, r.length, len(got), end-r.offset)
		}
	}
	for _, offset := range []int64{100_000, 100_001, 1 << 40} {
		r, err := s.Get(t.Context(), "object", offset, 10)
		if err == nil {
			var data []byte
			data, err = io.ReadAll(r)
			r.Close()
			if len(data) > 0 {
				t.Errorf("%d bytes behind the end at %d", len(data), offset)
			}
		}
		if err != nil && !errors.Is(err, errdefs.ErrOutOfRange) {
			t.Errorf("range behind the end at %d: %v, want out of range", offset, err)
		}
		if err := bucket.ReadRange(t.Context(), s, "object", offset, make([]byte, 1)); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("read a byte at %d: %v, want data loss", offset, err)
		}
	}
	if err := bucket.ReadRange(t.Context(), s, "object", 99_990, make([]byte, 11)); !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("read across the end: %v, want data loss", err)
	}
	if _, err := bucket.ReadAll(t.Context(), s, "object", 99_999); !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("read an object that is too long: %v, want data loss", err)
	}
}

func testReplace(t *testing.T, s bucket.Store) {
	put(t, s, "a/b", Bytes(1, 1000))
	put(t, s, "a/b", Bytes(2, 10))
	if got := get(t, s, "a/b", 0, -1); !bytes.Equal(got, Bytes(2, 10)) {
		t.Errorf("%d bytes came back, want the second object's 10", len(got))
	}
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "a/b"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("stat what was deleted: %v, want not found", err)
	}
}

func testCreateRace(t *testing.T, s bucket.Store) {
	const writers = 32
	var (
		wg     sync.WaitGroup
		begin  = make(chan struct{})
		errs   = make([]error, writers)
		winner = -1
	)
	for i := range writers {
		wg.Go(func() {
			<-begin
			errs[i] = s.Create(t.Context(), "snapshots/x/manifest.json", Bytes(byte(i), 2000))
		})
	}
	close(begin)
	wg.Wait()
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, errdefs.ErrAlreadyExists):
			t.Errorf("writer %d: %v, want already exists", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	if got := get(t, s, "snapshots/x/manifest.json", 0, -1); !bytes.Equal(got, Bytes(byte(winner), 2000)) {
		t.Errorf("the object is not what writer %d wrote", winner)
	}
}

func testCreateSpares(t *testing.T, s bucket.Store) {
	if err := s.Create(t.Context(), "m", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "m", []byte("second")); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("create again: %v, want already exists", err)
	}
	if got := get(t, s, "m", 0, -1); string(got) != "first" {
		t.Errorf("the object is %q", got)
	}
}

func testList(t *testing.T, s bucket.Store, objects int) {
	var want []string
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range objects {
		key := fmt.Sprintf("packs/%02x/%05d", i%7, i)
		want = append(want, key)
		group.Go(func() error { return s.Put(ctx, key, bytes.NewReader([]byte("x")), 1) })
	}
	for _, key := range []string{"packs-old/x", "packs.txt", "recipes/1", "snapshots/a/manifest.json", "snapshots/a/durable/v"} {
		group.Go(func() error { return s.Put(ctx, key, bytes.NewReader(nil), 0) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	list := func(prefix string) (keys []string) {
		for info, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, info.Key)
		}
		return keys
	}
	if got := list("packs/"); !slices.Equal(got, want) {
		t.Errorf("%d keys listed, want %d, in order", len(got), len(want))
	}
	for prefix, want := range map[string][]string{
		"snapshots/":     {"snapshots/a/durable/v", "snapshots/a/manifest.json"},
		"packs-":         {"packs-old/x"},
		"packs.":         {"packs.txt"},
		"recipes":        {"recipes/1"},
		"packs/00/00007": {"packs/00/00007"},
		"none/":          nil,
	} {
		if got := list(prefix); !slices.Equal(got, want) {
			t.Errorf("list %q: %q, want %q", prefix, got, want)
		}
	}
	if got := list(""); len(got) != objects+5 || !slices.IsSorted(got) {
		t.Errorf("%d keys listed in all, sorted %t; want %d", len(got), slices.IsSorted(got), objects+5)
	}
	n := 0
	for _, err := range s.List(t.Context(), "packs/") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1500 {
			break
		}
	}
}

func testAbsent(t *testing.T, s bucket.Store) {
	if _, err := s.Stat(t.Context(), "a/none"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
	if err := s.Delete(t.Context(), "a/none"); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
	r, err := s.Get(t.Context(), "a/none", 0, -1)
	if err == nil {
		_, err = io.ReadAll(r)
		r.Close()
	}
	if !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	var own *bucket.Error
	if !errors.As(err, &own) || own.Key != "a/none" || own.Store != s.String() {
		t.Errorf("get: %#v does not name the object and the store", err)
	}
}

// A breakingBody is a body that does something at a certain byte.
type breakingBody struct {
	data []byte
	at   int64
	do   func() error
}

func (b *breakingBody) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.at {
		if err := b.do(); err != nil {
			return 0, err
		}
	}
	return bytes.NewReader(b.data).ReadAt(p, off)
}

// large is the size of an object that no store takes in one request.
const large = 65 << 20

// breakpoints are where writes of testCancel and testFailingBody break.
var breakpoints = []int64{0, 1, 4096, 1 << 20, 5<<20 + 3, 6<<20 - 1}

func testCancel(t *testing.T, s bucket.Store, size int, breakpoints []int64) {
	data := Bytes(3, size)
	put(t, s, "there", []byte("before"))
	for _, at := range breakpoints {
		for _, key := range []string{"new", "there"} {
			ctx, cancel := context.WithCancel(t.Context())
			body := &breakingBody{data: data, at: at, do: func() error { cancel(); return nil }}
			err := s.Put(ctx, key, body, int64(len(data)))
			cancel()
			if err == nil {
				// A store may have had all bytes before it looked: then it is whole.
				if got := get(t, s, key, 0, -1); !bytes.Equal(got, data) {
					t.Errorf("cancelled at %d: put succeeded and %d bytes are there", at, len(got))
				}
				_ = s.Delete(t.Context(), "new")
				put(t, s, "there", []byte("before"))
				continue
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled at %d: %v, want canceled", at, err)
			}
			checkUntouched(t, s, at)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Create(ctx, "new", data[:1000]); !errors.Is(err, context.Canceled) {
		t.Errorf("create when it is cancelled already: %v", err)
	}
	checkUntouched(t, s, 0)
}

func testFailingBody(t *testing.T, s bucket.Store) {
	data := Bytes(4, 6<<20)
	put(t, s, "there", []byte("before"))
	for _, at := range breakpoints {
		for _, key := range []string{"new", "there"} {
			body := &breakingBody{data: data, at: at, do: func() error { return errBody }}
			if err := s.Put(t.Context(), key, body, int64(len(data))); err == nil {
				t.Errorf("body fails at %d: put succeeded", at)
			}
			checkUntouched(t, s, at)
		}
	}
	if err := s.Put(t.Context(), "new", bytes.NewReader(data[:10]), 11); err == nil {
		t.Error("body a byte short: put succeeded")
	}
	checkUntouched(t, s, 10)
}

var errBody = fmt.Errorf("the disk is broken: %w", errdefs.ErrInvalidArgument)

// checkUntouched wants no object "new", "there" as it was, and nothing else.
func checkUntouched(t *testing.T, s bucket.Store, at int64) {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if !slices.Equal(keys, []string{"there"}) {
		t.Errorf("broken at %d: the store has %q", at, keys)
	}
	if got := get(t, s, "there", 0, -1); string(got) != "before" {
		t.Errorf("broken at %d: the object has %d other bytes", at, len(got))
	}
}

func testBadKeys(t *testing.T, s bucket.Store) {
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a/.tmp", "a b", "a\x00b", "a\nb", "ä", "a?b", "a#b", "a%2fb", "a../b", "a__0x2f__b"} {
		ctx := t.Context()
		for op, call := range map[string]func() error{
			"get":    func() error { _, err := s.Get(ctx, key, 0, -1); return err },
			"put":    func() error { return s.Put(ctx, key, bytes.NewReader(nil), 0) },
			"create": func() error { return s.Create(ctx, key, nil) },
			"stat":   func() error { _, err := s.Stat(ctx, key); return err },
			"delete": func() error { return s.Delete(ctx, key) },
		} {
			if err := call(); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%s %q: %v, want invalid argument", op, key, err)
			}
		}
	}
}
