// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package job is the wire between the shim and the gofer process that it runs
// for bulk work: one JSON value a line, requests on the gofer's standard input,
// events on its standard output. The gofer ends after its last event; closing
// its input, or killing it, abandons the job and leaves nothing visible in any
// store. Messages carry no credentials in argv or environment: a store's
// secrets travel inside the Store of a request, on the pipe.
//
// A Commit is a conversation, because part of it happens while the sandbox is
// frozen:
//
//	shim  → Request{Verb: Commit}                (the gofer opens the store, reads ahead)
//	gofer → Event{Kind: Ready}
//	shim    freezes the sandbox
//	shim  → Request{Verb: Capture}
//	gofer → Event{Kind: Captured}                (no file of a volume matters any more)
//	shim    thaws the sandbox
//	shim  → Request{Verb: Upload, Manifest: …}   (everything but the parts' store side)
//	gofer → Event{Kind: Progress} …
//	gofer → Event{Kind: Done, Manifest: …}
//
// A Fetch that has Ask is one too, so that what cannot be used costs nothing:
//
//	shim  → Request{Verb: Fetch, Ask: true}
//	gofer → Event{Kind: Ready, Manifest: …}      (nothing else was read)
//	shim  → Request{Verb: Bring}                 (or it closes the gofer's input)
//	gofer → Event{Kind: Progress} …
//	gofer → Event{Kind: Done, Manifest: …}
//
// Every other verb is one request, any number of Progress events and one Done.
// An Event with Kind Failed ends any job.
//
// Each side tells its Version with all that it sends and does nothing for a
// peer of another one: either file may be replaced before the other is.
package job

import (
	"time"

	"github.com/ateom/ateom/artifacts"
)

// Version is the version of Request and Event that this build writes and reads.
// It changes with what a peer would misunderstand, not with what it may ignore.
const Version = 1

// Verb names what a Request asks for.
type Verb string

const (
	// Commit opens the conversation above.
	Commit Verb = "commit"
	// Capture asks for the volumes to be captured now: the sandbox is frozen.
	Capture Verb = "capture"
	// Upload asks for the captured parts to be put into the store.
	Upload Verb = "upload"
	// Seal computes the parts of a checkpoint image that runsc wrote as plain
	// files into Dir/image, writes their recipes and makes all of it durable.
	Seal Verb = "seal"
	// Verify reads the local snapshot in Dir whole and compares it with its
	// manifest.
	Verify Verb = "verify"
	// Fetch brings a snapshot from Store: its manifest and kernel parts into
	// Dir, its volumes into Volumes, and its pages unless Lazy.
	Fetch Verb = "fetch"
	// Bring asks for what a Fetch has shown the manifest of.
	Bring Verb = "bring"
)

// A Store is a place for snapshots, resolved from the node's configuration.
type Store struct {
	// Name is the configured name, or "" for a bare URL.
	Name string `json:"name,omitempty"`
	// URL is a gocloud.dev/blob URL; its `prefix` parameter places the
	// snapshots below a key prefix.
	URL string `json:"url"`
	// Env is set in the gofer's own environment before the SDK of the store
	// is initialised: where an operator configures credentials for one store.
	Env map[string]string `json:"env,omitempty"`
	// KeyFile, or else what KeyCommand prints, holds the age X25519 secret keys
	// that the store is encrypted with; with neither it is not. Whoever opens
	// the store reads them: they are in no message and no file of ours.
	KeyFile    string   `json:"keyFile,omitempty"`
	KeyCommand []string `json:"keyCommand,omitempty"`
}

// A Volume is a DurableDir of the sandbox as the host sees it.
type Volume struct {
	Name string `json:"name"`
	// Path is the volume's directory on the host.
	Path string `json:"path"`
	// SizeLimit, if it is not 0, is how many bytes of content a Commit takes.
	SizeLimit int64 `json:"sizeLimit,omitempty"`
}

// A Request goes from the shim to the gofer.
type Request struct {
	// Version is the sender's.
	Version int  `json:"version"`
	Verb    Verb `json:"verb"`
	// Dir is the directory of the local snapshot or draft (see package local
	// for its layout).
	Dir string `json:"dir,omitempty"`
	// Store is where a Commit goes to and a Fetch comes from.
	Store Store `json:"store,omitzero"`
	// ID of the snapshot that a Fetch brings.
	ID artifacts.ID `json:"id,omitempty"`
	// Scope of a Commit. A Data commit captures Volumes and nothing else.
	Scope artifacts.Scope `json:"scope,omitempty"`
	// Volumes to capture, or to restore into (each an existing, empty directory).
	Volumes []Volume `json:"volumes,omitempty"`
	// Parent is the snapshot of the same lineage in the same store whose
	// chunks need not be sent again, if there is one.
	Parent artifacts.ID `json:"parent,omitempty"`
	// Indexes is a directory where a Commit keeps what the next one of the same
	// sandbox need not read again; empty keeps nothing. It need not exist, and
	// losing it costs time only.
	Indexes string `json:"indexes,omitempty"`
	// Cache is the node's, which a Fetch reads all but the manifest through, if
	// it is not the zero value.
	Cache Cache `json:"cache,omitzero"`
	// Manifest goes with Upload: complete but for the parts.
	Manifest *artifacts.Manifest `json:"manifest,omitempty"`
	// Lazy leaves the pages part in the store: the checkpoint side-car will
	// read it from there (Fetch only).
	Lazy bool `json:"lazy,omitempty"`
	// Ask shows the manifest, and waits for Bring, before anything else is read or
	// written (Fetch only).
	Ask bool `json:"ask,omitempty"`
}

// Kind names what an Event tells.
type Kind string

const (
	Ready    Kind = "ready"
	Captured Kind = "captured"
	Progress Kind = "progress"
	Done     Kind = "done"
	Failed   Kind = "failed"
)

// An Event goes from the gofer to the shim.
type Event struct {
	// Version is the sender's.
	Version int  `json:"version"`
	Kind    Kind `json:"kind"`
	// Phase, Bytes and Total belong to Progress. Total is 0 while unknown.
	Phase string `json:"phase,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
	Total int64  `json:"total,omitempty"`
	// Parts of a Seal.
	Parts []artifacts.Part `json:"parts,omitempty"`
	// Manifest as it stands in the store (Upload, Fetch, and the Ready of a Fetch).
	Manifest *artifacts.Manifest `json:"manifest,omitempty"`
	// Sent and Received count bytes on the way to and from the store.
	Sent     int64 `json:"sent,omitempty"`
	Received int64 `json:"received,omitempty"`
	// Took is how long the step that the event ends has taken.
	Took time.Duration `json:"took,omitempty"`
	// Code and Error belong to Failed: Code is a containerd errdefs word
	// ("not_found", "already_exists", "invalid_argument",
	// "failed_precondition", "unavailable", "data_loss", "internal"), Error one
	// sentence without secrets that says what failed, on what, and what to do.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	// Warnings are sentences about what could not be kept or was passed over.
	Warnings []string `json:"warnings,omitempty"`
}
