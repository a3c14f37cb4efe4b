// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ateomv1 is the ttrpc service ateom.v1.Snapshots that every shim
// serves beside containerd's task service. It holds generated code only.
package ateomv1
