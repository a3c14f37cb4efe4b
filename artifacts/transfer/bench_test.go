// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
)

// BenchmarkCommitGiB commits 1 GiB of memory: for the first time, unchanged,
// and with one per cent of it changed in runs of 64 KiB; and fetches it. It
// reports the bytes that went to or came from the store.
func BenchmarkCommitGiB(b *testing.B) {
	n := newNode(b)
	image := testImage(1, 1<<18)
	s := openStore(b, fileURL(b.TempDir()))
	at := epoch
	next := func() time.Time { at = at.Add(time.Second); return at }
	var first *artifacts.Manifest
	run := func(name string, prepare func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(image[artifacts.PartPages])))
			var sent int64
			for b.Loop() {
				b.StopTimer()
				prepare()
				b.StartTimer()
				parent := artifacts.ID("")
				if first != nil {
					parent = first.ID
				}
				m, bytes := n.commit(s, artifacts.Full, next(), image, parent)
				first, sent = m, bytes
			}
			b.ReportMetric(float64(sent), "sent-B/op")
		})
	}
	run("first", func() { first = nil })
	run("unchanged", func() {})
	seed := byte(0)
	run("1 per cent changed", func() {
		seed++
		rng := rand.NewChaCha8([32]byte{seed})
		pages := image[artifacts.PartPages]
		const length = 64 << 10
		for range len(pages) / 100 / length {
			off := int(rng.Uint64()%uint64(len(pages)/length)) * length
			rng.Read(pages[off:][:length])
		}
	})
	b.Run("fetch", func(b *testing.B) {
		b.SetBytes(int64(len(image[artifacts.PartPages])))
		there := newNode(b)
		counted := bucket.Count(s)
		for b.Loop() {
			if _, _, err := there.fetch(counted, first.ID, false); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(counted.Received())/float64(b.N), "received-B/op")
	})
}

// BenchmarkCommitVolume commits a volume of one file that is new each time;
// half of it compresses.
func BenchmarkCommitVolume(b *testing.B) {
	const size = 256 << 20
	n := newNode(b)
	s := openStore(b, fileURL(b.TempDir()))
	content := make([]byte, size)
	copy(content, bytes.Repeat([]byte("the same words again and again; "), size/32))
	at := epoch
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		at = at.Add(time.Second)
		rng := rand.NewChaCha8([32]byte{byte(at.Unix()), byte(at.Unix() >> 8)})
		for off := 0; off < size; off += 8 << 10 {
			rng.Read(content[off:][:4<<10])
		}
		if err := os.WriteFile(filepath.Join(n.volumes[0].Path, "big"), content, 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		n.commit(s, artifacts.Data, at, nil, "")
	}
}
