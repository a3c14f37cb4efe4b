// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sealed encrypts a store on the client: every object is an age file
// (age-encryption.org/v1) for one X25519 key. Whoever has the bucket sees
// keys, sizes and times, and no content; whoever loses the key loses the data.
//
// Packs are named by the digest of their plaintext, which could confirm a
// guess of it; Salt is what a writer mixes into each pack against that.
package sealed
