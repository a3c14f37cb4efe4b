// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// A PodRestore is the shim's side of CRI's RestorePod.
type PodRestore struct {
	// CheckpointPath is a directory that CheckpointPod has written.
	CheckpointPath string
	// Containers are the names of all containers of the new pod.
	Containers []string
	// Options are refused: this runtime has none.
	Options map[string]string
}

// CheckPodRestore refuses what could not be restored, before a sandbox is made:
// its first Create takes CheckpointPath as the request's checkpoint. Everything
// that can be told without the memory's bytes is: those are verified as they
// are restored. Only the node's builds of runsc are Create's to look for, which
// does so before it fetches anything.
func CheckPodRestore(r *PodRestore) error {
	if err := refuseOptions(r.Options); err != nil {
		return fmt.Errorf("restore pod: %w", err)
	}
	if !filepath.IsAbs(r.CheckpointPath) {
		return fmt.Errorf("restore pod: checkpoint path: want an absolute path, got %q: %w", r.CheckpointPath, errdefs.ErrInvalidArgument)
	}
	id, err := onlySnapshot(r.CheckpointPath)
	if err != nil {
		return fmt.Errorf("restore pod: %w", err)
	}
	m, err := readManifest(r.CheckpointPath, id)
	if err != nil {
		return fmt.Errorf("restore pod from snapshot %s: %w", id, err)
	}
	if m.Scope != artifacts.Full {
		return fmt.Errorf("restore pod: %w", incompatible(m, "its scope is %s, and a pod's memory is wanted, which is in scope Full", m.Scope))
	}
	if err := checkMachine(m); err != nil {
		return fmt.Errorf("restore pod: %w", err)
	}
	if err := sameSet(r.Containers, memberNames(m)); err != nil {
		return fmt.Errorf("restore pod from snapshot %s: containers: %w", id, err)
	}
	for _, p := range m.Parts {
		if err := checkPart(r.CheckpointPath, id, p); err != nil {
			return fmt.Errorf("restore pod from snapshot %s: part %s: %w", id, p.Name, err)
		}
	}
	return nil
}

// readManifest reads the manifest of the snapshot in a checkpoint.
func readManifest(dir string, id artifacts.ID) (*artifacts.Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, artifacts.ManifestKey(id)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	m, err := artifacts.DecodeManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	if m.ID != id {
		return nil, fmt.Errorf("its manifest is that of snapshot %s: %w", m.ID, errdefs.ErrDataLoss)
	}
	return m, nil
}

// checkPart looks for the files that a part lies in.
func checkPart(dir string, id artifacts.ID, p artifacts.Part) error {
	if volume, ok := p.Durable(); ok && p.Encoding == artifacts.TarZstd {
		return checkFile(dir, artifacts.VolumeKey(id, volume), p.StoredSize)
	}
	if p.Encoding != artifacts.Chunks {
		return fmt.Errorf("encoding %q is none of a store: %w", p.Encoding, errdefs.ErrDataLoss)
	}
	key := artifacts.RecipeKey(p.StoredDigest)
	if err := checkFile(dir, key, p.StoredSize); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, key))
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	if sha256.Sum256(b) != p.StoredDigest {
		return fmt.Errorf("%s is not what was written: %w", key, errdefs.ErrDataLoss)
	}
	recipe, err := artifacts.DecodeRecipe(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", key, err, errdefs.ErrDataLoss)
	}
	for _, pack := range recipe.Packs() {
		if err := checkFile(dir, artifacts.PackKey(pack.Digest), int64(pack.Size)); err != nil {
			return err
		}
	}
	return nil
}

// checkFile refuses a file that is not there as long as it should be.
func checkFile(dir, key string, size int64) error {
	info, err := os.Stat(filepath.Join(dir, key))
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	if !info.Mode().IsRegular() || info.Size() != size {
		return fmt.Errorf("%s has %d bytes instead of %d: %w", key, info.Size(), size, errdefs.ErrDataLoss)
	}
	return nil
}

// onlySnapshot is the snapshot in a directory that Checkpoint or CheckpointPod
// has written: a store with one.
func onlySnapshot(dir string) (artifacts.ID, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil || len(entries) != 1 {
		return "", fmt.Errorf("checkpoint %s is not one that this runtime made (%v): %w", dir, err, errdefs.ErrInvalidArgument)
	}
	id, err := artifacts.ParseID(entries[0].Name())
	if err != nil {
		return "", fmt.Errorf("checkpoint %s: %w: %w", dir, err, errdefs.ErrInvalidArgument)
	}
	return id, nil
}
