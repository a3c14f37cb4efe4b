// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package job

// KnownFile is where in the directory of a Full commit the gofer leaves, before
// it is ready, the digests of all chunks that it knows to be in the store: 32
// bytes each, in ascending order, each once. It is absent if there are none. A
// save into a Scratch draft leaves holes in its image in the place of these
// chunks, which the upload does not read.
const KnownFile = "known"
