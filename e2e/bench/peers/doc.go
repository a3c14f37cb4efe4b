// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package peers holds the ways of doing one thing that the bench compares:
//
//	raw    one runsc command for each verb, and nothing around it
//	hand   what a user would script: checkpoint, delete; restore, poll every
//	       tenth of a second
//	hand+  hand with restore --background, polled every millisecond
//	ateom  this project, through a containerd of its own
//
// A peer prepares, starts, pauses and resumes sandboxes; rows decide what is
// measured and prove that it happened.
package peers
