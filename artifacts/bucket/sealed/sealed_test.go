// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sealed_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/sealed"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
)

// newKey makes a secret key.
func newKey(t testing.TB) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return "# created for a test\n" + id.String() + "\n"
}

// open opens a store in memory and seals it.
func open(t testing.TB, key string) (outer *sealed.Store, inner bucket.Store) {
	t.Helper()
	return openAt(t, "mem://", key)
}

// openAt opens a store and seals it.
func openAt(t testing.TB, url, key string) (outer *sealed.Store, inner bucket.Store) {
	t.Helper()
	inner, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	outer, err = sealed.New(inner, key)
	if err != nil {
		t.Fatal(err)
	}
	return outer, inner
}

func TestSealedStore(t *testing.T) {
	for name, start := range map[string]func(*testing.T) func(n int) string{ // the URL of the n-th empty store
		"mem":  func(*testing.T) func(int) string { return func(int) string { return "mem://" } },
		"file": func(t *testing.T) func(int) string { return under("file://" + t.TempDir() + "?") },
		"s3": func(t *testing.T) func(int) string {
			url, _ := storetest.S3(t)
			return under(url)
		},
		"gs": func(t *testing.T) func(int) string {
			url, _ := storetest.GCS(t)
			return under(url + "?")
		},
		"azblob": func(t *testing.T) func(int) string {
			url, _ := storetest.Azure(t)
			return under(url + "?")
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, n := start(t), 0
			// Keys are not encrypted: more than one page of a list is enough.
			storetest.Run(t, 1_200, func(t *testing.T) bucket.Store {
				n++
				s, _ := openAt(t, url(n), newKey(t))
				return s
			})
		})
	}
}

// under returns URLs of empty stores in one bucket.
func under(url string) func(n int) string {
	return func(n int) string { return fmt.Sprintf("%s&prefix=test-%d", url, n) }
}

func TestRangesAtTheEdgesOfSegments(t *testing.T) {
	s, _ := open(t, newKey(t))
	const segment = 64 << 10
	for _, size := range []int{0, 1, segment - 1, segment, segment + 1, 3 * segment, 3*segment + 100} {
		want := storetest.Bytes(byte(size), size)
		if err := s.Put(t.Context(), "object", bytes.NewReader(want), int64(size)); err != nil {
			t.Fatal(err)
		}
		if info, err := s.Stat(t.Context(), "object"); err != nil || info.Size != int64(size) {
			t.Errorf("stat of %d bytes: %+v, %v", size, info, err)
		}
		for _, offset := range []int{0, 1, segment - 1, segment, segment + 1, 2 * segment, size - 1} {
			for _, length := range []int{1, 2, segment, segment + 2, 2 * segment} {
				if offset < 0 || offset+length > size {
					continue
				}
				got := make([]byte, length)
				if err := bucket.ReadRange(t.Context(), s, "object", int64(offset), got); err != nil {
					t.Fatalf("%d bytes, range %d+%d: %v", size, offset, length, err)
				}
				if !bytes.Equal(got, want[offset:offset+length]) {
					t.Errorf("%d bytes, range %d+%d: other bytes", size, offset, length)
				}
			}
		}
	}
}

func TestObjectsAreAgeFilesAndShowNothing(t *testing.T) {
	key := newKey(t)
	s, inner := open(t, key)
	plain := []byte(strings.Repeat("a secret sentence ", 100))
	if err := s.Create(t.Context(), "m", plain); err != nil {
		t.Fatal(err)
	}
	data, err := bucket.ReadAll(t.Context(), inner, "m", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("secret sentence")) || !bytes.HasPrefix(data, []byte("age-encryption.org/v1\n")) {
		t.Errorf("the object begins with %q", data[:40])
	}
	ids, err := age.ParseIdentities(strings.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(data), ids...)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil || !bytes.Equal(out.Bytes(), plain) {
		t.Errorf("age decrypts %d bytes, %v", out.Len(), err)
	}
}

func TestWrongKeyIsToldFromDamage(t *testing.T) {
	key := newKey(t)
	s, inner := open(t, key)
	data := storetest.Bytes(1, 200_000)
	if err := s.Put(t.Context(), "o", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	good, err := bucket.ReadAll(t.Context(), inner, "o", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	read := func(s bucket.Store) (whole, piece error) {
		_, whole = bucket.ReadAll(t.Context(), s, "o", 1<<20)
		return whole, bucket.ReadRange(t.Context(), s, "o", 70_000, make([]byte, 1000))
	}
	other, err := sealed.New(inner, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	whole, piece := read(other)
	for _, err := range []error{whole, piece, other.Check(t.Context()), other.Create(t.Context(), "new", nil)} {
		if !errors.Is(err, errdefs.ErrPermissionDenied) || !strings.Contains(err.Error(), "another key") {
			t.Errorf("another key: %v, want permission denied", err)
		}
	}
	for name, bad := range map[string][]byte{
		"header":      flip(good, 30),
		"nonce":       flip(good, 180),
		"segment":     flip(good, 184+70_000),
		"last bytes":  flip(good, len(good)-1),
		"cut":         good[:len(good)-1],
		"cut segment": good[:184+2*(64<<10+16)],
		"plaintext":   data,
		"short":       good[:100],
		"empty":       {},
	} {
		if err := inner.Put(t.Context(), "o", bytes.NewReader(bad), int64(len(bad))); err != nil {
			t.Fatal(err)
		}
		// A store that has not read the object before.
		fresh, err := sealed.New(inner, key)
		if err != nil {
			t.Fatal(err)
		}
		whole, piece := read(fresh)
		if !errors.Is(whole, errdefs.ErrDataLoss) {
			t.Errorf("%s: read whole: %v, want data loss", name, whole)
		}
		if !errors.Is(piece, errdefs.ErrDataLoss) {
			t.Errorf("%s: read a range: %v, want data loss", name, piece)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestBadKeysAreRefusedAndNotShown(t *testing.T) {
	_, inner := open(t, newKey(t))
	key := newKey(t)
	for _, bad := range []string{"", "x", "AGE-SECRET-KEY-1QQQQSECRET", strings.Repeat(key, 17), strings.ToLower(key), "age1qqqq"} {
		_, err := sealed.New(inner, bad)
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: %v, want invalid argument", bad, err)
		}
		if err != nil && strings.Contains(strings.ToUpper(err.Error()), "SECRET-KEY-1Q") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestSaltIsTheKeysOwn(t *testing.T) {
	key := newKey(t)
	a, inner := open(t, key)
	b, _ := open(t, key)
	c, _ := open(t, newKey(t))
	if len(sealed.Salt(a)) != 32 || !bytes.Equal(sealed.Salt(a), sealed.Salt(bucket.Count(b))) || bytes.Equal(sealed.Salt(a), sealed.Salt(c)) {
		t.Error("the salt is not the key's own")
	}
	if sealed.Salt(inner) != nil || sealed.Salt(bucket.Count(inner)) != nil {
		t.Error("a plain store has a salt")
	}
}
