// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// archive writes the content of dir as a tar file, the same for the same content.
func archive(ctx context.Context, path, dir string) error {
	_, err := run(ctx, "tar", "--create", "--file", path, "--directory", dir, "--sort=name",
		"--mtime=@0", "--numeric-owner", "--xattrs", ".")
	return err
}

// writeLayout makes an OCI image layout in dir: one layer, uncompressed, since
// it never leaves the machine.
func writeLayout(ctx context.Context, dir, rootfs, ref string) error {
	blobs := filepath.Join(dir, v1.ImageBlobsDir, "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	layer, err := writeLayer(ctx, blobs, rootfs)
	if err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	platform := v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	config, err := writeJSON(blobs, v1.MediaTypeImageConfig, v1.Image{
		Platform: platform,
		Config: v1.ImageConfig{
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Cmd: []string{"/bin/sh"},
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		return fmt.Errorf("write image config: %w", err)
	}
	manifest, err := writeJSON(blobs, v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    config,
		Layers:    []v1.Descriptor{layer},
	})
	if err != nil {
		return fmt.Errorf("write image manifest: %w", err)
	}
	manifest.Platform = &platform
	manifest.Annotations = map[string]string{
		v1.AnnotationRefName:       "test",
		"io.containerd.image.name": ref,
	}
	files := map[string]any{
		v1.ImageLayoutFile: v1.ImageLayout{Version: v1.ImageLayoutVersion},
		v1.ImageIndexFile: v1.Index{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: v1.MediaTypeImageIndex,
			Manifests: []v1.Descriptor{manifest},
		},
	}
	for name, content := range files {
		b, err := json.Marshal(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeLayer puts rootfs into blobs under its digest.
func writeLayer(ctx context.Context, blobs, rootfs string) (v1.Descriptor, error) {
	path := filepath.Join(blobs, "layer")
	if err := archive(ctx, path, rootfs); err != nil {
		return v1.Descriptor{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := digest.NewDigest(digest.SHA256, h)
	return v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: d, Size: size},
		os.Rename(path, filepath.Join(blobs, d.Encoded()))
}

// writeJSON puts v into blobs under its digest.
func writeJSON(blobs, mediaType string, v any) (v1.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := digest.FromBytes(b)
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))},
		os.WriteFile(filepath.Join(blobs, d.Encoded()), b, 0o644)
}
