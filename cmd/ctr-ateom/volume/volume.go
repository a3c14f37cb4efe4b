// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package volume reads the DurableDirs of a snapshot in a store, file by file,
// without restoring them.
package volume

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/transfer"
)

// maxWindow bounds the memory that a compressed stream may ask for, in bytes.
const maxWindow = 32 << 20

// Open returns the tar stream of a part that is a DurableDir. No byte of it is
// handed out that was not compared with a digest: an object that is a whole
// volume is brought into a temporary file first. The caller closes it.
func Open(ctx context.Context, s bucket.Store, id artifacts.ID, p artifacts.Part) (io.ReadCloser, error) {
	name, ok := p.Durable()
	if !ok {
		return nil, fmt.Errorf("open part %q: it is no DurableDir: %w", p.Name, errdefs.ErrInvalidArgument)
	}
	var r io.ReadCloser
	var err error
	switch p.Encoding {
	case artifacts.TarZstd:
		r, err = openObject(ctx, s, artifacts.VolumeKey(id, name), p)
	case artifacts.Chunks:
		r, err = openChunks(ctx, s, p)
	default:
		err = fmt.Errorf("encoding %q is unknown: %w", p.Encoding, errdefs.ErrNotImplemented)
	}
	if err != nil {
		return nil, fmt.Errorf("open volume %q of snapshot %s: %w", name, id, err)
	}
	return r, nil
}

// A stream is a reader and what is to be closed with it.
type stream struct {
	io.Reader
	close func() error
}

func (s *stream) Close() error { return s.close() }

// openObject brings an object here, compares it, and decompresses it.
func openObject(ctx context.Context, s bucket.Store, key string, p artifacts.Part) (_ io.ReadCloser, err error) {
	f, err := os.CreateTemp("", "ctr-ateom-volume")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	// The name is not needed any more, and a killed process leaves nothing.
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	object, err := s.Get(ctx, key, 0, -1)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("object %s in store %s is gone: %w", key, s, errdefs.ErrDataLoss)
	}
	if err != nil {
		return nil, err
	}
	defer object.Close()
	sum := sha256.New()
	// One byte more than there should be tells that it is another object.
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(object, p.StoredSize+1))
	if err != nil {
		return nil, fmt.Errorf("read object %s in store %s: %w", key, s, err)
	}
	if n != p.StoredSize || artifacts.Digest(sum.Sum(nil)) != p.StoredDigest {
		return nil, fmt.Errorf("object %s in store %s is not what the manifest says: %w", key, s, errdefs.ErrDataLoss)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("decompress object %s in store %s: %w: %w", key, s, err, errdefs.ErrDataLoss)
	}
	return &stream{io.LimitReader(d, p.Size), func() error {
		d.Close()
		return f.Close()
	}}, nil
}

// openChunks reads a part whose chunks are checked one by one. A reader that
// passes over a file's content does not fetch it.
func openChunks(ctx context.Context, s bucket.Store, p artifacts.Part) (io.ReadCloser, error) {
	recipe, err := transfer.GetRecipe(ctx, s, p)
	if err != nil {
		return nil, err
	}
	return transfer.NewGlance(ctx, s, recipe), nil
}

// Walk calls visit for every entry of the volume in the order of the archive.
// The reader is good during the call only. errStop ends the walk without error.
func Walk(ctx context.Context, s bucket.Store, id artifacts.ID, p artifacts.Part, visit func(*tar.Header, io.Reader) error) error {
	r, err := Open(ctx, s, id, p)
	if err != nil {
		return err
	}
	defer r.Close()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive of part %q of snapshot %s: %w: %w", p.Name, id, err, errdefs.ErrDataLoss)
		}
		if err := visit(h, archive); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// errStop ends a Walk.
var errStop = errors.New("stop")
