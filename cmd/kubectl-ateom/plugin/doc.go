// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin is kubectl ateom. It finds the node of a pod and asks the node
// agent there, through a port of the agent's pod that kubectl forwards, with the
// user's own configuration and rights.
package plugin
