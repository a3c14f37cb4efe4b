// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package traces makes OpenTelemetry spans of the verbs that ended: one a verb,
// with a child a phase, below the caller's span if it told of one. It exports
// them to the OTLP endpoint that the standard environment names, and does
// nothing without one. A collector that is away must never hold the agent up.
package traces
