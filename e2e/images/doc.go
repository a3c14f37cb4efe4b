// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package images makes the container images that the end-to-end tests, the
// demo and the benchmarks run: real Debian packages in OCI image tarballs,
// made once a machine and kept outside the tree. No registry is asked.
package images
