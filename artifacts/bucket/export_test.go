// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import "context"

// OpenBare opens a store without retries and limits.
func OpenBare(ctx context.Context, rawURL string) (Store, error) {
	s, _, err := open(ctx, rawURL)
	return s, err
}

// Redact is what every error's text goes through.
var Redact = redact
