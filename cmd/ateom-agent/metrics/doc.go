// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics is what Prometheus is told of a node. No label may hold a
// sandbox's id, a container's name or anything else that a user chooses: the
// number of series is bounded by this package.
package metrics
