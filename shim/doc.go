// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package shim is containerd's runtime io.containerd.ateom.v1: the task
// service over runsc, the sandbox's state machine, and Pause, Commit and
// Resume. One process serves all containers of one sandbox.
//
// It moves no bulk bytes and holds no bucket credentials: runsc and the gofer
// are other processes. It links no cloud SDK; a test holds it to that.
package shim
