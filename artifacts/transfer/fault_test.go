// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// A damage is what a store does to an object.
type damage struct {
	name  string
	apply func(object, other []byte) []byte // nil: the object is gone
}

var damages = []damage{
	{"a bit flipped in the front", func(o, _ []byte) []byte { o[0] ^= 1; return o }},
	{"a bit flipped in the middle", func(o, _ []byte) []byte { o[len(o)/2] ^= 0x10; return o }},
	{"a bit flipped at the end", func(o, _ []byte) []byte { o[len(o)-1] ^= 0x80; return o }},
	{"truncated by a byte", func(o, _ []byte) []byte { return o[:len(o)-1] }},
	{"truncated to half", func(o, _ []byte) []byte { return o[:len(o)/2] }},
	{"empty", func([]byte, []byte) []byte { return []byte{} }},
	{"a byte longer", func(o, _ []byte) []byte { return append(o, 0) }},
	{"swapped with another, or replayed from it", func(_, other []byte) []byte { return bytes.Clone(other) }},
	{"gone", func([]byte, []byte) []byte { return nil }},
}

// TestDamagedObjectsAreRefusedByName damages every object of a snapshot in
// every way, in a plain store and in an encrypted one. A fetch and a deep
// verify must refuse it and name the object; the volumes are empty afterwards.
func TestDamagedObjectsAreRefusedByName(t *testing.T) {
	for encoding, plain := range encodings {
		t.Run(string(encoding), func(t *testing.T) {
			s := openStore(t, "mem://")
			testDamagedObjects(t, plain, func() bucket.Store { return s }, s)
		})
		t.Run(string(encoding)+" encrypted", func(t *testing.T) {
			dir := t.TempDir()
			key := newKey(t)
			testDamagedObjects(t, plain, func() bucket.Store { return openSealed(t, dir, key) }, openStore(t, fileURL(dir)))
		})
	}
}

// encodings are those of volumes, and up to which length they are plain then.
var encodings = map[artifacts.Encoding]int64{artifacts.TarZstd: maxPlain, artifacts.Chunks: 0}

// testDamagedObjects damages objects of the store that open opens by way of
// bare, which has them as they are stored.
func testDamagedObjects(t *testing.T, plain int64, open func() bucket.Store, bare bucket.Store) {
	s, n := open(), newNode(t)
	n.plain = plain
	n.write(0, "a", string(storetest.Bytes(1, 20_000)))
	n.write(1, "b", string(storetest.Bytes(2, 20_000)))
	m, _ := n.commit(s, artifacts.Full, epoch, testImage(1, 400), "")
	n.write(0, "a", string(storetest.Bytes(3, 20_000)))
	n.write(1, "b", string(storetest.Bytes(4, 20_000)))
	other, _ := n.commit(s, artifacts.Full, epoch.Add(time.Second), testImage(2, 400), "")

	objects := objectsOf(t, s, m)
	twins := objectsOf(t, s, other)
	want := 7
	if plain == 0 {
		want = 9 // a pack for each volume too
	}
	if len(objects) != want || len(twins) != len(objects) {
		t.Fatalf("objects of the snapshots: %q, %q; want %d each", objects, twins, want)
	}
	for i, key := range objects {
		good := mustRead(t, bare, key)
		for _, d := range damages {
			t.Run(key[:strings.IndexByte(key, '/')]+"/"+d.name, func(t *testing.T) {
				defer mustPut(t, bare, key, good)
				bad := d.apply(bytes.Clone(good), mustRead(t, bare, twins[i]))
				if bad == nil {
					if err := bare.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				} else {
					mustPut(t, bare, key, bad)
				}
				// A plain pack's index and tail are not what a fetch reads.
				inTail := s == bare && strings.HasPrefix(key, artifacts.PacksPrefix) && (d.name == "a bit flipped at the end" ||
					d.name == "truncated by a byte" || d.name == "a byte longer")
				s, there := open(), newNode(t) // nothing is known of the good object
				_, _, err := there.fetch(s, m.ID, false)
				if inTail {
					d, _ := artifacts.ContentKeyDigest(key, artifacts.PacksPrefix)
					err = VerifyPack(t.Context(), s, artifacts.Pack{Digest: d, Size: uint32(len(good))})
				}
				wantRefusal(t, "fetch", err, key, m.ID)
				if inTail {
					return
				}
				if diff := cmp.Diff(map[string]string{}, there.tree()); diff != "" {
					t.Errorf("the volumes after a refused fetch (-want +got):\n%s", diff)
				}
				_, err = Verify(t.Context(), s, m.ID, Deep, nil)
				wantRefusal(t, "verify", err, key, m.ID)
			})
		}
	}
	s = open()
	if _, err := Verify(t.Context(), s, m.ID, Deep, nil); err != nil {
		t.Errorf("verify the repaired snapshot: %v", err)
	}
	if _, err := Verify(t.Context(), s, m.ID, Shallow, nil); err != nil {
		t.Errorf("verify the repaired snapshot without reading it: %v", err)
	}
}

// wantRefusal wants data loss on the object, or a manifest that is none.
func wantRefusal(t *testing.T, verb string, err error, key string, id artifacts.ID) {
	t.Helper()
	manifest := key == artifacts.ManifestKey(id)
	switch {
	case err == nil:
		t.Errorf("%s took it", verb)
	case manifest && errors.Is(err, errdefs.ErrNotFound), errors.Is(err, errdefs.ErrDataLoss):
		if !strings.Contains(err.Error(), key) && !(manifest && strings.Contains(err.Error(), string(id))) {
			t.Errorf("%s: %v does not name %s", verb, err, key)
		}
	default:
		t.Errorf("%s: %v, want data loss", verb, err)
	}
}

// objectsOf returns the keys of a snapshot's objects: the manifest, volumes,
// recipes, packs.
func objectsOf(t *testing.T, s bucket.Store, m *artifacts.Manifest) []string {
	t.Helper()
	all := []string{artifacts.ManifestKey(m.ID)}
	packs := map[string]bool{}
	for _, p := range m.Parts {
		if volume, ok := p.Durable(); ok && p.Encoding == artifacts.TarZstd {
			all = append(all, artifacts.VolumeKey(m.ID, volume))
			continue
		}
		all = append(all, artifacts.RecipeKey(p.StoredDigest))
		r, err := GetRecipe(t.Context(), s, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, pk := range r.Packs() {
			if key := artifacts.PackKey(pk.Digest); !packs[key] {
				packs[key] = true
				all = append(all, key)
			}
		}
	}
	return all
}

func mustRead(t *testing.T, s bucket.Store, key string) []byte {
	t.Helper()
	data, err := bucket.ReadAll(t.Context(), s, key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustPut(t *testing.T, s bucket.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(fmt.Errorf("put %s: %w", key, err))
	}
}
