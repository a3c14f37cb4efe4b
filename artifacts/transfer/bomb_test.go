// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"

	"github.com/ateom/ateom/artifacts"
)

// maxExtra bounds what refusing an object may allocate, in bytes; it is more
// than is ever needed at a time.
const maxExtra = 64 << 20

// The tarball of a volume that unpacks to more than its manifest says, or wants a
// window of gigabytes, is refused within a bound, however its digest fits.
func TestBombsCostLittleMemory(t *testing.T) {
	var zeros bytes.Buffer
	w, err := zstd.NewWriter(&zeros)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeroReader{}, 2<<30); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, object := range map[string][]byte{
		"two gigabytes of zeros": zeros.Bytes(),
		// A frame with a window of 2 GiB and one block that repeats a byte; RFC 8878.
		"a wide window": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x03, 0x00, 0x10, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, "mem://")
			id := artifacts.NewID(epoch)
			if err := s.Put(t.Context(), artifacts.VolumeKey(id, "home"), bytes.NewReader(object), int64(len(object))); err != nil {
				t.Fatal(err)
			}
			m := manifest(id, artifacts.Data)
			m.Parts = []artifacts.Part{{
				Name: artifacts.DurablePrefix + "home", Encoding: artifacts.TarZstd, Size: 1 << 20, Digest: artifacts.Digest{1},
				StoredSize: int64(len(object)), StoredDigest: sha256.Sum256(object),
			}}
			data, err := artifacts.EncodeManifest(m)
			if err == nil {
				err = s.Create(t.Context(), artifacts.ManifestKey(id), data)
			}
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = Verify(t.Context(), s, id, Deep, nil)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, errdefs.ErrDataLoss) {
				t.Errorf("verify: %v", err)
			}
			if extra := after.TotalAlloc - before.TotalAlloc; extra > maxExtra {
				t.Errorf("it cost %d MiB, more than %d", extra>>20, maxExtra>>20)
			} else {
				t.Logf("%d KiB: %v", extra>>10, err)
			}
		})
	}
}

// A zeroReader has zeros without end.
type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
