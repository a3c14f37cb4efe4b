// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Digest is a SHA-256 sum. Its text form is "sha256:" and 64 lower-case
// hexadecimal digits; the zero Digest means "none" and its text is empty.
type Digest [sha256.Size]byte

// digestPrefix starts the text form, as in the OCI image specification.
const digestPrefix = "sha256:"

// IsZero reports whether d is no digest at all.
func (d Digest) IsZero() bool { return d == Digest{} }

// Hex returns the 64 digits.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return digestPrefix + d.Hex()
}

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes only the exact text form.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Digest{}
		return nil
	}
	s, ok := strings.CutPrefix(string(text), digestPrefix)
	if !ok || len(s) != 2*sha256.Size || strings.ToLower(s) != s {
		return fmt.Errorf("parse digest %q: want %q and 64 lower-case hexadecimal digits", text, digestPrefix)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return fmt.Errorf("parse digest %q: %w", text, err)
	}
	return nil
}
