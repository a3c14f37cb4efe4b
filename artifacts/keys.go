// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import "strings"

// Key prefixes in a bucket, below the store's own prefix.
const (
	SnapshotsPrefix = "snapshots/"
	PacksPrefix     = "packs/"
	RecipesPrefix   = "recipes/"
	// TrashPrefix begins the keys of the manifests of removed snapshots, which
	// protect what they refer to for a while longer.
	TrashPrefix = "trash/"
	// DamagedPrefix begins the keys of manifests that were set aside because
	// their snapshots cannot be restored; they go on protecting what they refer to.
	DamagedPrefix = "damaged/"
)

const manifestName = "manifest.json"

// SnapshotPrefix begins the keys of all that belongs to one snapshot alone.
func SnapshotPrefix(id ID) string { return SnapshotsPrefix + string(id) + "/" }

// ManifestKey is the key of a snapshot's manifest.
func ManifestKey(id ID) string { return SnapshotPrefix(id) + manifestName }

// VolumeKey is the key of a volume of encoding TarZstd.
func VolumeKey(id ID, volume string) string {
	return SnapshotPrefix(id) + DurablePrefix + volume + ".tar.zst"
}

// PackKey is the key of a pack, by the digest of all of it.
func PackKey(d Digest) string { return PacksPrefix + spread(d) }

// RecipeKey is the key of a recipe, by the digest of its encoding.
func RecipeKey(d Digest) string { return RecipesPrefix + spread(d) }

// TrashKey is the key of the manifest of a removed snapshot.
func TrashKey(id ID) string { return TrashPrefix + string(id) + ".json" }

// DamagedKey returns the key of a manifest that was set aside.
func DamagedKey(id ID) string { return DamagedPrefix + string(id) + ".json" }

// spread divides content-addressed objects over 256 folders, for stores that
// are directories.
func spread(d Digest) string {
	hex := d.Hex()
	return hex[:2] + "/" + hex
}

// ManifestKeyID returns the id of the snapshot whose manifest has the key.
func ManifestKeyID(key string) (ID, bool) {
	return keyID(key, SnapshotsPrefix, "/"+manifestName)
}

// TrashKeyID returns the id of the removed snapshot whose manifest has the key.
func TrashKeyID(key string) (ID, bool) { return keyID(key, TrashPrefix, ".json") }

// DamagedKeyID returns the id of the snapshot whose manifest was set aside under key.
func DamagedKeyID(key string) (ID, bool) { return keyID(key, DamagedPrefix, ".json") }

func keyID(key, prefix, suffix string) (ID, bool) {
	s, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return "", false
	}
	if s, ok = strings.CutSuffix(s, suffix); !ok {
		return "", false
	}
	id, err := ParseID(s)
	return id, err == nil
}

// ContentKeyDigest returns the digest in the key of a pack or a recipe.
func ContentKeyDigest(key, prefix string) (Digest, bool) {
	s, ok := strings.CutPrefix(key, prefix)
	if !ok || len(s) < 3 {
		return Digest{}, false
	}
	var d Digest
	if err := d.UnmarshalText([]byte(digestPrefix + s[3:])); err != nil || s != spread(d) {
		return Digest{}, false
	}
	return d, true
}
