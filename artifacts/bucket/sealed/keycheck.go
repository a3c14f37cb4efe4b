// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sealed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
)

// checkKey is the key of a small object that lists the recipients of all keys
// that the store has been written with, encrypted for each of them. Whoever can
// decrypt it and has all those keys knows that an object which does not open is
// damaged: its header alone would not tell. List does not show it.
const checkKey = "sealed"

// checkTitle is the first line of its plaintext; one recipient a line follows.
const checkTitle = "ateom sealed store 1\n"

// maxCheckSize is more than it has bytes for maxKeys keys.
const maxCheckSize = 8 << 10

// Check implements bucket.Store. It also compares the keys with those that the store
// was written with; the error is ErrPermissionDenied if none of them is one.
func (s *Store) Check(ctx context.Context) error {
	if err := s.Store.Check(ctx); err != nil {
		return err
	}
	if _, err := s.recipients(ctx); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return err
	}
	return nil
}

// recipients returns what the check object lists. The error is ErrNotFound where there is none.
func (s *Store) recipients(ctx context.Context) ([]string, error) {
	data, err := bucket.ReadAll(ctx, s.Store, checkKey, maxCheckSize)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(bytes.NewReader(data), s.identities...)
	if err != nil {
		return nil, wrongKey(s, checkKey, err)
	}
	text, err := io.ReadAll(plain)
	list, ok := strings.CutPrefix(string(text), checkTitle)
	if err != nil || !ok {
		return nil, damaged(s, checkKey, "it is not what it should be")
	}
	return strings.Fields(list), nil
}

// haveAllKeys reports whether s has every key that the store was written with.
func (s *Store) haveAllKeys(ctx context.Context) (bool, error) {
	list, err := s.recipients(ctx)
	for _, id := range s.identities {
		list = slices.DeleteFunc(list, func(r string) bool { return r == recipientOf(id) })
	}
	return err == nil && len(list) == 0, err
}

func recipientOf(id age.Identity) string { return id.(*age.X25519Identity).Recipient().String() }

// ensureCheck lists the newest key before the first object of this process.
func (s *Store) ensureCheck(ctx context.Context) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if s.checked {
		return nil
	}
	err := s.listNewest(ctx)
	if errors.Is(err, errdefs.ErrAlreadyExists) {
		err = s.listNewest(ctx) // somebody else's by now, which a key must open
	}
	s.checked = err == nil
	return err
}

func (s *Store) listNewest(ctx context.Context) error {
	list, err := s.recipients(ctx)
	switch {
	case errors.Is(err, errdefs.ErrNotFound):
		return s.writeCheck(ctx, nil, s.Store.Create)
	case err != nil || slices.Contains(list, recipientOf(s.newest)):
		return err
	}
	return s.writeCheck(ctx, list, func(ctx context.Context, key string, data []byte) error {
		return s.Store.Put(ctx, key, bytes.NewReader(data), int64(len(data)))
	})
}

// writeCheck writes the check object with the newest key added to those on list.
func (s *Store) writeCheck(ctx context.Context, list []string, write func(ctx context.Context, key string, data []byte) error) error {
	list = append(list, recipientOf(s.newest))
	var recipients []age.Recipient
	for _, text := range list {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return damaged(s, checkKey, "it lists what is no recipient")
		}
		recipients = append(recipients, r)
	}
	text := checkTitle + strings.Join(list, "\n") + "\n"
	var out bytes.Buffer
	if err := encryptFor(ctx, &out, strings.NewReader(text), int64(len(text)), recipients...); err != nil {
		return err
	}
	return write(ctx, checkKey, out.Bytes())
}

// wrongKey is the error for what the keys do not open; anything else that age
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
