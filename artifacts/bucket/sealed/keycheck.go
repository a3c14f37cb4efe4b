// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sealed

import (
	"bytes"
	"context"
	"errors"
	"io"

	"filippo.io/age"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
)

// checkKey is the key of a small object that is encrypted like all others. If
// it can be decrypted the store's key is right, and an object that cannot is
// damaged: its header alone would not tell. List does not show it.
const checkKey = "sealed"

// checkText is its plaintext.
const checkText = "ateom sealed store 1\n"

// maxCheckSize is more than it has bytes.
const maxCheckSize = 4 << 10

// Check implements bucket.Store. It also compares the key with the one that the store
// was written with; the error is ErrPermissionDenied if it is another.
func (s *Store) Check(ctx context.Context) error {
	if err := s.Store.Check(ctx); err != nil {
		return err
	}
	if _, err := s.keyFits(ctx); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return err
	}
	return nil
}

// keyFits decrypts the check object. The error is ErrNotFound where there is none.
func (s *Store) keyFits(ctx context.Context) (bool, error) {
	data, err := bucket.ReadAll(ctx, s.Store, checkKey, maxCheckSize)
	if err != nil {
		return false, err
	}
	plain, err := age.Decrypt(bytes.NewReader(data), s.identity)
	if err != nil {
		return false, wrongKey(s, checkKey, err)
	}
	text, err := io.ReadAll(plain)
	if err != nil || string(text) != checkText {
		return false, damaged(s, checkKey, "it is not what it should be")
	}
	return true, nil
}

// ensureCheck writes the check object before the first other object of this process.
func (s *Store) ensureCheck(ctx context.Context) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if s.checked {
		return nil
	}
	_, err := s.keyFits(ctx)
	if errors.Is(err, errdefs.ErrNotFound) {
		var out bytes.Buffer
		if err = s.encrypt(ctx, &out, bytes.NewReader([]byte(checkText)), int64(len(checkText))); err == nil {
			err = s.Store.Create(ctx, checkKey, out.Bytes())
		}
		if errors.Is(err, errdefs.ErrAlreadyExists) {
			_, err = s.keyFits(ctx) // somebody else's, who must have the same key
		}
	}
	s.checked = err == nil
	return err
}

// wrongKey is the error for what the key does not open; anything else that age
// says is damage.
func wrongKey(s *Store, key string, err error) error {
	var noMatch *age.NoIdentityMatchError
	if !errors.As(err, &noMatch) {
		return damaged(s, key, err.Error())
	}
	return &bucket.Error{Op: "decrypt", Key: key, Store: s.String(), Class: errdefs.ErrPermissionDenied,
		Detail: "it is encrypted for another key; configure the key that it was written with"}
}

func damaged(s *Store, key, detail string) error {
	return &bucket.Error{Op: "decrypt", Key: key, Store: s.String(), Class: errdefs.ErrDataLoss,
		Detail: "it is damaged, or was never encrypted: " + detail}
}
