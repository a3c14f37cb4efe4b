// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storetest says what a bucket.Store must do, as a suite that every
// implementation runs, and starts the real S3, GCS and Azure servers to
// run it against. It is for tests only.
package storetest
