// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// An ID names a snapshot. It is a ULID in lower case: 26 characters of
// Crockford's base 32, which sort by the time of creation (in milliseconds)
// and are a DNS label, a file name and a key segment as they are.
type ID string

// NewID makes an ID for a snapshot taken at now.
func NewID(now time.Time) ID {
	return ID(strings.ToLower(ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()))
}

// ParseID accepts exactly what NewID makes.
func ParseID(s string) (ID, error) {
	if s != strings.ToLower(s) {
		return "", fmt.Errorf("parse snapshot id %q: want lower case", s)
	}
	if _, err := ulid.ParseStrict(strings.ToUpper(s)); err != nil {
		return "", fmt.Errorf("parse snapshot id %q: want 26 characters of Crockford's base 32: %w", s, err)
	}
	return ID(s), nil
}

// Time returns when the snapshot was taken, in milliseconds.
func (id ID) Time() time.Time {
	u, err := ulid.ParseStrict(strings.ToUpper(string(id)))
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(u.Time())
}
