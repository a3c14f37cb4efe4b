// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package journal is the record of the verbs that ended on a node: one line of
// JSON each, appended by every shim to RUN-DIR/journal/verbs.jsonl, for whoever
// makes metrics and traces of them. Writing must never fail a verb, wait for
// anybody, or leave anything behind in the shim's memory.
//
// The file is bounded: whoever appends and finds it full renames it to
// verbs.jsonl.1, in place of the one before. A reader that keeps up sees every
// line; one that does not loses the oldest.
package journal
