// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"path"
	"strings"

	"github.com/ateom/ateom/artifacts"
)

// Key prefixes of a store.
const (
	snapshotsPrefix = "snapshots/"
	packsPrefix     = "packs/"
	recipesPrefix   = "recipes/"
	manifestName    = "manifest.json"
)

// snapshotPrefix begins the keys of all that belongs to one snapshot alone.
func snapshotPrefix(id artifacts.ID) string { return snapshotsPrefix + string(id) + "/" }

func manifestKey(id artifacts.ID) string { return snapshotPrefix(id) + manifestName }

func volumeKey(id artifacts.ID, volume string) string {
	return snapshotPrefix(id) + artifacts.DurablePrefix + volume + ".tar.zst"
}

func packKey(d artifacts.Digest) string { return packsPrefix + spread(d) }

func recipeKey(d artifacts.Digest) string { return recipesPrefix + spread(d) }

// spread divides content-addressed objects over 256 folders, for stores that
// are directories.
func spread(d artifacts.Digest) string {
	hex := d.Hex()
	return hex[:2] + "/" + hex
}

// manifestID returns the id of the snapshot whose manifest has the key.
func manifestID(key string) (artifacts.ID, bool) {
	dir, name := path.Split(key)
	if name != manifestName {
		return "", false
	}
	id, err := artifacts.ParseID(strings.TrimSuffix(strings.TrimPrefix(dir, snapshotsPrefix), "/"))
	return id, err == nil
}
