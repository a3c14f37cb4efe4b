// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// keyPattern keeps keys to what is one file name a segment on every file
// system and needs no escaping in any URL. A leading dot is left to temporary files.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._=+-]*(/[A-Za-z0-9_][A-Za-z0-9._=+-]*)*$`)

// maxKey is what S3 and GCS allow, less room for a prefix.
const maxKey = 768

// escapes are what gocloud.dev's drivers write otherwise than it is, or take for
// something that they have written so: part of an object's name there is none.
var escapes = []string{"../", "__0x"}

// CheckKey refuses what is no key: segments of letters, digits and ".-_=+",
// none of them beginning with a dot or ending with two, joined by slashes. The error is ErrInvalidArgument.
func CheckKey(key string) error {
	escaped := slices.ContainsFunc(escapes, func(e string) bool { return strings.Contains(key, e) })
	if len(key) > maxKey || escaped || !keyPattern.MatchString(key) {
		return fmt.Errorf("check key %.80q: want names of letters, digits and \"._=+-\" joined by \"/\": %w",
			key, errdefs.ErrInvalidArgument)
	}
	return nil
}

// checkPrefix refuses what no key begins with. "" is a prefix of all.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(prefix, "/"))
}
