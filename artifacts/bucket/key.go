// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
)

// keyPattern keeps keys to what is one file name a segment on every file
// system and needs no escaping in any URL. A leading dot is left to temporary files.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._=+-]*(/[A-Za-z0-9_][A-Za-z0-9._=+-]*)*$`)

// maxKey is what S3 and GCS allow, less room for a prefix.
const maxKey = 768

// CheckKey refuses what is no key: segments of letters, digits and ".-_=+",
// none of them beginning with a dot, joined by slashes. The error is ErrInvalidArgument.
func CheckKey(key string) error {
	if len(key) > maxKey || !keyPattern.MatchString(key) {
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
