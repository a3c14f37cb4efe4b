// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import "time"

// SeatVersion is the version of Seat that this build writes and reads. A gofer
// refuses any other: shim and gofer are installed together.
const SeatVersion = 5

// SeatFile is the name under which a Seat lies in the directory that runsc is
// given as its --image-path. Its presence is what makes runsc start the gofer.
const SeatFile = "gcs_opts.json"

// SeatBinary is the name under which runsc looks for the gofer, in
// $GVISOR_SIDECAR_BINARIES_DIR or in gvisor-bin/ beside runsc.
const SeatBinary = "checkpointgofer"

// Mode says in which direction a Seat moves bytes.
type Mode string

const (
	// Save receives a checkpoint from runsc.
	Save Mode = "save"
	// Restore serves a checkpoint to runsc.
	Restore Mode = "restore"
)

// Pace says how fast a restore loads the pages that nobody waits for. Pages
// that the program waits for are always served at once.
type Pace string

const (
	// PaceReady holds back while the program waits for pages, so that the
	// background never delays it. It is where a restore starts.
	PaceReady Pace = "ready"
	// PaceFull loads as fast as it goes beside what programs do.
	PaceFull Pace = "full"
	// PaceUrgent loads as fast as it goes: a save waits for all pages.
	PaceUrgent Pace = "urgent"
	// PaceLazy goes at a bounded rate, some 128 MB/s: for clones that idle.
	PaceLazy Pace = "lazy"
)

// A Cache is the node's, of what was fetched from stores. Its zero value is none.
type Cache struct {
	Dir string `json:"dir"`
	// Size is how many bytes of the disk it may take.
	Size int64 `json:"size"`
}

// A Seat configures one run of the gofer as runsc's checkpoint side-car. The
// shim writes it as SeatFile, mode 0600, alone into a private directory (0700,
// not in the sandbox's reach) and removes that directory when runsc has
// returned. The gofer reads it from the descriptor that runsc passes.
type Seat struct {
	Version int  `json:"version"`
	Mode    Mode `json:"mode"`
	// Dir is the draft that a save fills or the snapshot that a restore reads;
	// package local describes its layout.
	Dir string `json:"dir"`
	// Scratch says that the draft is only read, soon and once, and outlives no
	// crash: a save then does not wait for the disk. It leaves out what Dir's
	// KnownFile lists, or, if there is none, leaves Sums instead of recipes.
	Scratch bool `json:"scratch,omitempty"`
	// Store holds the pages of a restore whose Dir has none. Secrets in
	// its Env reach only the gofer.
	Store Store `json:"store,omitzero"`
	// Gofer is the program that can open Store. The one that runsc starts links
	// no cloud's SDK and lets Gofer take over where a Store is named.
	Gofer string `json:"gofer,omitempty"`
	// Cache keeps what is fetched from Store for the next restore on this node.
	Cache Cache `json:"cache,omitzero"`
	// Cgroups are the directories of the cgroups that the gofer moves itself
	// into before it moves a byte, one a hierarchy: without them the page cache
	// of a save would be charged to the sandbox. The memory that a restore fills
	// is charged to the sandbox all the same.
	Cgroups []string `json:"cgroups,omitempty"`
	// Status is a file that always holds the latest SeatStatus as JSON; it is
	// replaced by rename and outlives the gofer. Empty: none is written.
	Status string `json:"status,omitempty"`
	// Control is the path of a unix socket on which the gofer takes
	// SeatControl values, one a line, and answers each with a SeatStatus line.
	// Empty: none.
	Control string `json:"control,omitempty"`
	// Pace is where a restore starts; empty is PaceReady.
	Pace Pace `json:"pace,omitempty"`
}

// A SeatControl is an instruction to a gofer in its seat.
type SeatControl struct {
	// Pace changes the pace; empty leaves it.
	Pace Pace `json:"pace,omitempty"`
}

// A SeatStatus tells how far a gofer in its seat is. Sizes are in bytes.
type SeatStatus struct {
	PID  int  `json:"pid"`
	Mode Mode `json:"mode"`
	Pace Pace `json:"pace,omitempty"`
	// Total is the size of the image; on a save it grows while runsc scans.
	Total int64 `json:"total"`
	// Asked is what runsc has asked to be read or written, Waited the share of
	// it that a program waited for.
	Asked  int64 `json:"asked"`
	Waited int64 `json:"waited,omitempty"`
	// Fetched came from disk, cache or store, Verified has been compared with
	// its recipe, Moved has reached the sandbox (restore) or the disk (save).
	Fetched  int64 `json:"fetched,omitempty"`
	Verified int64 `json:"verified,omitempty"`
	Moved    int64 `json:"moved"`
	// Zero were zero pages, which no disk and no store holds.
	Zero int64 `json:"zero,omitempty"`
	// PeakMemory is the most that the gofer has had resident, in bytes.
	PeakMemory int64 `json:"peakMemory,omitempty"`
	// Elapsed since the gofer started.
	Elapsed time.Duration `json:"elapsed"`
	// Parts are complete: saved and synced to disk, or served to the end.
	Parts []string `json:"parts,omitempty"`
	// Ended says that runsc has closed its side: nothing changes any more.
	Ended bool `json:"ended,omitempty"`
	// Code and Error are as in Event, of the first failure.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	// Warnings are sentences about what did not work and did no harm.
	Warnings []string `json:"warnings,omitempty"`
}
