// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

// OpenBare opens a store without retries.
var OpenBare = open

// Redact is what every error's text goes through.
var Redact = redact
