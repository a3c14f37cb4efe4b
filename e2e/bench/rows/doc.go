// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rows measures the lines of the table of targets. A row runs all its
// peers in one go, one iteration of each after the other in an order that
// rotates, after a round that does not count; and it takes no sample from a
// resume that it cannot prove to have been one.
package rows
