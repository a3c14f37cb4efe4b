// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package verbs lets those who may forward a port of the node agent's pod pause,
// commit and resume the node's pods. It runs ctr-ateom for each
// request and answers with what that says in JSON, failures included.
//
// It must never take anything from a request but the names of a pod, a store and
// a scope.
package verbs
