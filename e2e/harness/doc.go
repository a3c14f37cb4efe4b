// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness gives the end-to-end tests a world of their own: nodes, each
// a real containerd with real images, a real runsc and the shim under test;
// network namespaces; servers that speak S3, GCS and Azure's protocol.
//
// A package of tests starts with
//
//	func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
//
// which runs it in PID, mount and network namespaces of its own, so that no
// address, mount, process or shim socket of it meets anybody else's, and fails
// it if anything is left when its tests are over. It needs root, and what
// `make build tools images` makes.
package harness
