// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import "time"

// FormatVersion is what this package writes into Manifest.Format.
const FormatVersion = "1.0"

// Scope says how much of a sandbox a snapshot holds.
type Scope string

const (
	// Full is memory, rootfs writes and DurableDirs.
	Full Scope = "Full"
	// Data is the DurableDirs alone.
	Data Scope = "Data"
	// None is nothing.
	None Scope = "None"
)

// Encoding says how a part lies in a store.
type Encoding string

const (
	// TarZstd is one object: a tar stream compressed with zstd. Any tool reads it.
	TarZstd Encoding = "tar+zstd"
	// Chunks is a recipe over content-addressed chunks, which lie in packs.
	Chunks Encoding = "chunks"
	// Raw is one plain file; it occurs in the node's local store only.
	Raw Encoding = "raw"
)

// Names of the parts of a Full snapshot. They correspond to the files that
// runsc writes into a checkpoint directory. A DurableDir's part is named
// DurablePrefix + its volume name.
const (
	PartKernel    = "kernel"     // checkpoint.img
	PartPagesMeta = "pages-meta" // pages_meta.img
	PartPages     = "pages"      // pages.img
	DurablePrefix = "durable/"
)

// A Manifest describes one snapshot. It is written last, never overwritten,
// and carries no authority: nothing in it configures a host.
type Manifest struct {
	// Format is "major.minor". A reader refuses an unknown major and keeps
	// what it does not know of a minor.
	Format  string    `json:"format"`
	ID      ID        `json:"id"`
	Parent  ID        `json:"parent,omitempty"`
	Created time.Time `json:"created"`
	Scope   Scope     `json:"scope"`
	Sandbox Sandbox   `json:"sandbox"`
	// Runtime and Machine are set for Scope Full: what a restore needs to find again.
	Runtime *Runtime `json:"runtime,omitempty"`
	Machine *Machine `json:"machine,omitempty"`
	Parts   []Part   `json:"parts"`
	// Extra holds fields of a later minor version; so it does in the types below.
	Extra Extra `json:"-"`
}

// A Sandbox names what was saved.
type Sandbox struct {
	ID         string      `json:"id"`
	Namespace  string      `json:"namespace,omitempty"`
	Containers []Container `json:"containers"`
	// Completed names the containers of a pod that had ended well before, its
	// init containers: a restore does not run them again.
	Completed []string `json:"completed,omitempty"`
	// Pod is the Kubernetes pod that it was, if it was one.
	Pod   *Pod  `json:"pod,omitempty"`
	Extra Extra `json:"-"`
}

// A Pod says whose a snapshot is.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	// Memory has the sizes in bytes of its emptyDir volumes in memory by their
	// names: a restore must find them unchanged, and what it restores has them.
	Memory map[string]int64 `json:"memory,omitempty"`
	Extra  Extra            `json:"-"`
}

// A Container of the saved sandbox; the first one is the sandbox's root container.
type Container struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Image is the reference as the user wrote it, ImageDigest its manifest's
	// digest ("sha256:…"); empty where nobody told.
	Image       string `json:"image,omitempty"`
	ImageDigest string `json:"imageDigest,omitempty"`
	// Args of the container's process, and Mounts, the places in the container
	// where something is mounted, sorted: a restore must find both unchanged.
	Args   []string `json:"args,omitempty"`
	Mounts []string `json:"mounts,omitempty"`
	// Versions are those of the volumes that Kubernetes replaces whole: configMaps,
	// secrets and projected ones.
	Versions []Version `json:"versions,omitempty"`
	Extra    Extra     `json:"-"`
}

// A Version is which of a volume's contents a container saw.
type Version struct {
	// Mount is the place of the mount in the container.
	Mount string `json:"mount"`
	// Name is the directory in the volume that its link ..data led to.
	Name  string `json:"name"`
	Extra Extra  `json:"-"`
}

// A Runtime is the runsc that made a Full snapshot. runsc refuses images of another version.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Extra   Extra  `json:"-"`
}

// A Machine is what the restoring node must at least be.
type Machine struct {
	Arch        string   `json:"arch"`
	CPUFeatures []string `json:"cpuFeatures,omitempty"`
	PageSize    int      `json:"pageSize"`
	Extra       Extra    `json:"-"`
}

// A Part is one stream of a snapshot.
type Part struct {
	Name     string   `json:"name"`
	Encoding Encoding `json:"encoding"`
	// Size is that of the stream before any encoding: the tar stream of a
	// volume, the bytes of a checkpoint file.
	Size int64 `json:"size"`
	// Digest is that of the stream (TarZstd), or the root of its recipe (Raw,
	// Chunks), which lets a reader check any piece without reading the rest.
	Digest Digest `json:"digest"`
	// StoredSize and StoredDigest are those of the one object that the part is
	// (TarZstd), or of its recipe object (Chunks).
	StoredSize   int64  `json:"storedSize,omitempty"`
	StoredDigest Digest `json:"storedDigest,omitzero"`
	// Files counts a volume's entries.
	Files int64 `json:"files,omitempty"`
	Extra Extra `json:"-"`
}

// Durable returns the volume's name if p is a DurableDir's part.
func (p Part) Durable() (volume string, ok bool) {
	if len(p.Name) > len(DurablePrefix) && p.Name[:len(DurablePrefix)] == DurablePrefix {
		return p.Name[len(DurablePrefix):], true
	}
	return "", false
}
