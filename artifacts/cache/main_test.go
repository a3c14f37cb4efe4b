// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/ateom/ateom/artifacts"
)

func TestMain(m *testing.M) {
	if os.Getenv(readerEnv) != "" {
		readerMain()
		return
	}
	goleak.VerifyTestMain(m)
}

// A sample is an object and its bytes.
type sample struct {
	Object
	bytes []byte
}

// newSample makes an object of n bytes, none of which is zero, so that a hole
// is never right by accident.
func newSample(seed uint64, n int) sample {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data)
	for i := range data {
		data[i] |= 1
	}
	return sample{Object{Digest: artifacts.Digest(sha256.Sum256(data)), Size: int64(n)}, data}
}

// fetch returns a Fetch of s that adds to count what it fetches.
func (s sample) fetch(count *int64) Fetch {
	return func(_ context.Context, off int64, p []byte) error {
		if off < 0 || off+int64(len(p)) > s.Size {
			return fmt.Errorf("fetch %d bytes at %d of %d", len(p), off, s.Size)
		}
		*count += int64(copy(p, s.bytes[off:]))
		return nil
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
