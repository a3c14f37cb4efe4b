// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sealed

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"

	"filippo.io/age"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
)

// maxInMemory is the size up to which an object is encrypted in memory; a
// larger one goes through a file without a name.
const maxInMemory = 16 << 20

// A Store is a bucket.Store whose objects are encrypted.
type Store struct {
	bucket.Store
	identity *age.X25519Identity
	salt     []byte
	ends     *endCache

	checking sync.Mutex // guards checked
	checked  bool
}

// New encrypts and decrypts the objects of s with identity, the text of an
// age X25519 secret key ("AGE-SECRET-KEY-1…"), as `age-keygen` prints it; lines that begin with # are
// comments. The error is ErrInvalidArgument and does not show the key.
func New(s bucket.Store, identity string) (*Store, error) {
	id, err := parseIdentity(identity)
	if err != nil {
		return nil, fmt.Errorf("encrypt store %s: %w", s, err)
	}
	mac := hmac.New(sha256.New, []byte(id.String()))
	mac.Write([]byte("ateom pack salt 1"))
	return &Store{Store: s, identity: id, salt: mac.Sum(nil), ends: newEndCache()}, nil
}

func parseIdentity(text string) (*age.X25519Identity, error) {
	bad := fmt.Errorf("the key is not one age X25519 secret key, as age-keygen makes it: %w", errdefs.ErrInvalidArgument)
	ids, err := age.ParseIdentities(bytes.NewReader([]byte(text)))
	if err != nil || len(ids) != 1 {
		return nil, bad // err would show the key
	}
	id, ok := ids[0].(*age.X25519Identity)
	if !ok {
		return nil, bad
	}
	return id, nil
}

// Unwrap returns the store beneath.
func (s *Store) Unwrap() bucket.Store { return s.Store }

// Salt returns what a writer puts into each pack before it is named: 32 bytes
// that only those with the store's key know, or nil if s is not encrypted.
func Salt(s bucket.Store) []byte {
	for s != nil {
		if own, ok := s.(*Store); ok {
			return own.salt
		}
		inner, ok := s.(interface{ Unwrap() bucket.Store })
		if !ok {
			return nil
		}
		s = inner.Unwrap()
	}
	return nil
}

// Put implements bucket.Store.
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := s.ensureCheck(ctx); err != nil {
		return err
	}
	if size > maxInMemory {
		return s.putLarge(ctx, key, body, size)
	}
	var out bytes.Buffer
	out.Grow(int(sealedSize(size)))
	if err := s.encrypt(ctx, &out, body, size); err != nil {
		return fmt.Errorf("put %s in store %s: %w", key, s, err)
	}
	s.ends.forget(key)
	return s.Store.Put(ctx, key, bytes.NewReader(out.Bytes()), int64(out.Len()))
}

func (s *Store) putLarge(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	f, err := os.CreateTemp("", "ateom-sealed-")
	if err != nil {
		return fmt.Errorf("put %s in store %s: %w", key, s, err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("put %s in store %s: %w", key, s, err)
	}
	if err := s.encrypt(ctx, f, body, size); err != nil {
		return fmt.Errorf("put %s in store %s: %w", key, s, err)
	}
	s.ends.forget(key)
	return s.Store.Put(ctx, key, f, sealedSize(size))
}

// encrypt writes size bytes of body to w as an age file.
func (s *Store) encrypt(ctx context.Context, w io.Writer, body io.ReaderAt, size int64) error {
	enc, err := age.Encrypt(w, s.identity.Recipient())
	if err != nil {
		return err
	}
	n, err := io.Copy(enc, &contextReader{ctx: ctx, r: io.NewSectionReader(body, 0, size)})
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("read what is to be written: it has %d bytes instead of %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	return enc.Close()
}

// Create implements bucket.Store.
func (s *Store) Create(ctx context.Context, key string, data []byte) error {
	if err := s.ensureCheck(ctx); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := s.encrypt(ctx, &out, bytes.NewReader(data), int64(len(data))); err != nil {
		return fmt.Errorf("create %s in store %s: %w", key, s, err)
	}
	return s.Store.Create(ctx, key, out.Bytes())
}

// Stat implements bucket.Store; the size is that of the plaintext.
func (s *Store) Stat(ctx context.Context, key string) (bucket.Info, error) {
	info, err := s.Store.Stat(ctx, key)
	info.Size = plainSize(info.Size)
	return info, err
}

// List implements bucket.Store; sizes are those of the plaintexts.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			if err == nil && info.Key == checkKey {
				continue
			}
			info.Size = plainSize(info.Size)
			if !yield(info, err) {
				return
			}
		}
	}
}

// Get implements bucket.Store. The bytes are authentic, but an object that was
// cut may be found so only at its end.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if offset == 0 && length < 0 {
		return s.getWhole(ctx, key)
	}
	return s.getRange(ctx, key, offset, length)
}

func (s *Store) getWhole(ctx context.Context, key string) (io.ReadCloser, error) {
	object, err := s.Store.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(object, s.identity)
	if err != nil {
		object.Close()
		return nil, s.explain(ctx, key, err)
	}
	return &reader{r: plain, c: object, explain: func(err error) error { return s.explain(ctx, key, err) }}, nil
}

// explain tells a wrong key from a damaged object, and both from the store's
// own errors.
func (s *Store) explain(ctx context.Context, key string, err error) error {
	var own *bucket.Error
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &own), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &noMatch):
		if fits, _ := s.keyFits(ctx); fits {
			return damaged(s, key, "its header does not fit the store's key")
		}
	}
	return wrongKey(s, key, err)
}

type reader struct {
	r       io.Reader
	c       io.Closer
	explain func(error) error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.explain(err)
	}
	return n, err
}

func (r *reader) Close() error { return r.c.Close() }

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
