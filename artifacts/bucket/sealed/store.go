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
	"strings"
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
	newest     *age.X25519Identity // encrypts
	identities []age.Identity      // all of them, the newest first, decrypt
	salt       []byte
	ends       *endCache

	checking sync.Mutex // guards checked
	checked  bool
}

// maxKeys bounds how many keys a store has: each that an object is not
// encrypted for costs a scalar multiplication.
const maxKeys = 16

// New encrypts the objects of s with the first of keys and decrypts them with
// whichever fits. keys is the text of age X25519 secret keys
// ("AGE-SECRET-KEY-1…"), one a line, as `age-keygen` prints them; lines that
// begin with # are comments. The error is ErrInvalidArgument and does not show
// a key.
func New(s bucket.Store, keys string) (*Store, error) {
	identities, err := parseKeys(keys)
	if err != nil {
		return nil, fmt.Errorf("encrypt store %s: %w", s, err)
	}
	newest := identities[0].(*age.X25519Identity)
	mac := hmac.New(sha256.New, []byte(newest.String()))
	mac.Write([]byte("ateom pack salt 1"))
	return &Store{Store: s, newest: newest, identities: identities, salt: mac.Sum(nil), ends: newEndCache()}, nil
}

func parseKeys(text string) ([]age.Identity, error) {
	identities, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(identities) > maxKeys {
		err = errBadKeys // err itself would show a key
	}
	for _, id := range identities {
		if _, ok := id.(*age.X25519Identity); !ok {
			err = errBadKeys
		}
	}
	return identities, err
}

var errBadKeys = fmt.Errorf("the keys are not 1 to %d age X25519 secret keys, as age-keygen makes them: %w", maxKeys, errdefs.ErrInvalidArgument)

// Unwrap returns the store beneath.
func (s *Store) Unwrap() bucket.Store { return s.Store }

// find returns the encrypted store in s, or nil.
func find(s bucket.Store) *Store {
	for s != nil {
		if own, ok := s.(*Store); ok {
			return own
		}
		inner, ok := s.(interface{ Unwrap() bucket.Store })
		if !ok {
			return nil
		}
		s = inner.Unwrap()
	}
	return nil
}

// Salt returns what a writer puts into each pack before it is named: 32 bytes
// that only those with the store's newest key know, or nil if s is not encrypted.
func Salt(s bucket.Store) []byte {
	if own := find(s); own != nil {
		return own.salt
	}
	return nil
}

// OfNewestKey reports whether an object is encrypted with the key that s
// encrypts with, as every object of a store without keys is.
func OfNewestKey(ctx context.Context, s bucket.Store, key string) (bool, error) {
	own := find(s)
	if own == nil || len(own.identities) == 1 {
		return true, nil
	}
	header := make([]byte, headerSize)
	if err := bucket.ReadRange(ctx, own.Store, key, 0, header); err != nil {
		return false, err
	}
	_, err := age.Decrypt(bytes.NewReader(header), own.newest)
	return err == nil, nil
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

// encrypt writes size bytes of body to w as an age file for the newest key.
func (s *Store) encrypt(ctx context.Context, w io.Writer, body io.ReaderAt, size int64) error {
	return encryptFor(ctx, w, body, size, s.newest.Recipient())
}

func encryptFor(ctx context.Context, w io.Writer, body io.ReaderAt, size int64, recipients ...age.Recipient) error {
	enc, err := age.Encrypt(w, recipients...)
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
	plain, err := age.Decrypt(object, s.identities...)
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
		if all, _ := s.haveAllKeys(ctx); all {
			return damaged(s, key, "its header fits none of the store's keys")
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
