// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
)

// encoders and decoders hold state of a few hundred KiB each; they are used
// by one goroutine at a time.
var (
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(artifacts.MaxChunkSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(fmt.Sprintf("pack: make zstd encoder: %v", err)) // the options are constants
		}
		return e
	}}
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(artifacts.MaxChunkSize), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(fmt.Sprintf("pack: make zstd decoder: %v", err))
		}
		return d
	}}
)

// Compress appends chunk to dst as it is to be stored and says how. What zstd
// does not shrink by a sixteenth stays raw: reading it back is then free.
func Compress(dst, chunk []byte) ([]byte, artifacts.Codec) {
	e := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(e)
	out := e.EncodeAll(chunk, dst)
	if stored := len(out) - len(dst); stored > len(chunk)-len(chunk)/16 || stored >= len(chunk) {
		return append(out[:len(dst)], chunk...), artifacts.CodecRaw
	}
	return out, artifacts.CodecZstd
}

// Decompress fills dst, which is as long as the chunk, from its stored bytes
// and compares it with digest. Memory is bounded by dst's length whatever
// stored holds. The error is ErrDataLoss; dst is then undefined.
func Decompress(dst, stored []byte, codec artifacts.Codec, digest artifacts.Digest) error {
	switch codec {
	case artifacts.CodecRaw:
		if len(stored) != len(dst) {
			return fmt.Errorf("unpack chunk %s: %d bytes instead of %d: %w", digest, len(stored), len(dst), errdefs.ErrDataLoss)
		}
		copy(dst, stored)
	case artifacts.CodecZstd:
		d := decoders.Get().(*zstd.Decoder)
		out, err := d.DecodeAll(stored, dst[:0:len(dst)])
		decoders.Put(d)
		if err != nil {
			return fmt.Errorf("unpack chunk %s: %w: %w", digest, err, errdefs.ErrDataLoss)
		}
		if len(out) != len(dst) {
			return fmt.Errorf("unpack chunk %s: %d bytes instead of %d: %w", digest, len(out), len(dst), errdefs.ErrDataLoss)
		}
	default:
		return fmt.Errorf("unpack chunk %s: codec %d is unknown: %w", digest, codec, errdefs.ErrDataLoss)
	}
	if sha256.Sum256(dst) != digest {
		return fmt.Errorf("unpack chunk %s: its bytes have another digest: %w", digest, errdefs.ErrDataLoss)
	}
	return nil
}
