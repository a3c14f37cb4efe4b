// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stdio connects a process's standard streams with what containerd
// names: a FIFO, a file, a logging binary, a terminal over FIFOs, or nothing.
//
// Except for terminals the sandbox writes into the final file description
// itself and the shim copies nothing. The shim keeps an end of each stream
// open, so that the stream outlives a pause of the sandbox and a restart of
// the reader.
package stdio
