// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package transfer moves snapshots between a node and a store: the bulk work
// of Commit and of a Resume elsewhere, and what a person does with a store
// (list, verify, remove). Serve does it for the shim, in the gofer's process.
//
// The order of every change makes a crash harmless: what is referred to is in
// the store before what refers to it, the manifest comes last, and nothing is
// handed out that was not compared with a digest that the manifest vouches
// for. It never reads or writes outside of the directories of its requests.
package transfer
