// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package allports opens one socket that takes the TCP connections to all ports
// of a network namespace, by a BPF program of type sk_lookup (Linux 5.9). gVisor
// does not tell which ports its programs listen on, and who may connect does not
// say it beforehand.
package allports
