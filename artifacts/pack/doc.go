// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pack puts chunks into packs and takes them out. A pack is an
// immutable object: the chunks' stored bytes back to back, an index of them,
// and a tail of fixed size that says where the index is. It is named by the
// SHA-256 of all of it, and can be read without any recipe.
//
// Nothing here knows where packs are kept. Every chunk is compared with its
// digest before anybody sees it.
package pack
