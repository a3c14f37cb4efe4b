// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package serve is the node agent at work: it reads what the shims have noted and
// serves it to those who watch nodes. It must never be on the way of a verb: a
// shim does not know whether there is an agent, and a node without one loses
// nothing but the view.
package serve
