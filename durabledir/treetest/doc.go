// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package treetest makes trees that have one of everything that a volume may
// hold, and describes trees by means that have nothing in common with package
// durabledir: a program in Python. It is for tests only.
package treetest
