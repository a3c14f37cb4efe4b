// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bucket is where snapshots' objects are kept: a small interface, and
// its implementations over a directory (file://), memory (mem://), and the
// clouds that gocloud.dev/blob knows (s3://, gs://, azblob://).
//
// It is the only package that links a cloud SDK. It knows keys and bytes; what
// an object means is the business of those above. It never prints a secret:
// not in an error, not in the name of a store.
package bucket
