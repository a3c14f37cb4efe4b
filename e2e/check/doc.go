// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check holds the project to its own rules: who may import whom, what
// the shim's binary must not link, licence headers, package documentation,
// generated code in sync, one gVisor everywhere, Bazel's files in step with
// go.mod. It has tests only; `make check` runs them without root.
package check
