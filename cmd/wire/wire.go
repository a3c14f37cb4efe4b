// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire has the words that ctr-ateom, the node agent and kubectl's plugin
// say to each other: what ctr-ateom answers with --json (docs/cli.md), which the
// agent passes on, and what the plugin asks an agent for. It must never do
// anything with them.
package wire

import "time"

// VerbsPort is where an agent serves verbs on its pod's loopback.
const VerbsPort = "9465"

// PodVerbs are the verbs of a pod that change it, which are POSTed with a Request;
// its StatusVerb is got.
var PodVerbs = []string{PauseVerb, "resume", "commit"}

// PauseVerb puts a pod to sleep.
const PauseVerb = "pause"

// StatusVerb asks what a pod's sandbox is doing.
const StatusVerb = "status"

// PodPath is where an agent is asked for a verb of a pod. Names are Kubernetes',
// in which nothing needs to be escaped, or wildcards of a route.
func PodPath(namespace, pod, verb string) string {
	return "/v1/namespaces/" + namespace + "/pods/" + pod + "/" + verb
}

// SnapshotsPath is where an agent is asked for the snapshots of a namespace; the
// query's StoreParam may name a store.
func SnapshotsPath(namespace string) string { return "/v1/namespaces/" + namespace + "/snapshots" }

// StoreParam is the name of a store in a query.
const StoreParam = "store"

// A Request is the body of a pod's verb. All fields may be empty, and mean
// something to a commit only.
type Request struct {
	Scope string `json:"scope,omitempty"`
	Store string `json:"store,omitempty"`
}

// A Result is the answer to a verb.
type Result struct {
	ID       string        `json:"id"`
	Verb     string        `json:"verb"`
	Snapshot *Snapshot     `json:"snapshot,omitempty"`
	Phases   []Phase       `json:"phases"`
	Took     time.Duration `json:"nanoseconds"`
	// FirstInstruction belongs to resume: how long after the request the programs
	// ran, at the latest.
	FirstInstruction time.Duration `json:"firstInstruction,omitempty"`
	// BytesSent belongs to commit.
	BytesSent *int64 `json:"bytesSent,omitempty"`
}

// A Status is the part of the answer to StatusVerb that more than one program reads.
type Status struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Snapshot *Snapshot `json:"snapshot,omitempty"`
}

// A Snapshot that a verb has made or that a sandbox sleeps in.
type Snapshot struct {
	ID      string    `json:"id"`
	Scope   string    `json:"scope"`
	Store   string    `json:"store,omitempty"`
	Created time.Time `json:"created"`
	// Bytes is the size before compression.
	Bytes int64 `json:"bytes"`
}

// A Phase is a named stretch of a verb.
type Phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"nanoseconds"`
}

// Stopped is the State of a sandbox that has ended.
const Stopped = "stopped"

// A Document is the answer instead, if something failed.
type Document struct {
	Error *Failure `json:"error"`
}

// A Failure says what failed.
type Failure struct {
	// Code is a containerd errdefs word such as "not_found".
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Exit is the exit code that a command ends with.
	Exit int `json:"exit"`
}

func (f *Failure) Error() string { return f.Message }
