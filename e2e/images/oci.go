// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeOCI writes an OCI image layout of one uncompressed layer as a tarball.
func writeOCI(i Image, layer, to string) (err error) {
	in, err := os.Open(layer)
	if err != nil {
		return err
	}
	defer in.Close()
	layerDigest, err := digest.FromReader(in)
	if err != nil {
		return fmt.Errorf("digest layer: %w", err)
	}
	size, err := in.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}

	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	w := tar.NewWriter(out)
	if err := putFile(w, blobPath(layerDigest), in, size); err != nil {
		return err
	}
	config, err := putJSON(w, v1.MediaTypeImageConfig, v1.Image{
		Platform: v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   v1.ImageConfig{Env: i.Env, Cmd: i.Cmd},
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerDigest}},
	})
	if err != nil {
		return err
	}
	manifest, err := putJSON(w, v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    config,
		Layers:    []v1.Descriptor{{MediaType: v1.MediaTypeImageLayer, Digest: layerDigest, Size: size}},
	})
	if err != nil {
		return err
	}
	// containerd takes the image's name from this annotation.
	manifest.Annotations = map[string]string{"io.containerd.image.name": i.Ref}
	index := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{manifest},
	}
	for name, value := range map[string]any{
		v1.ImageLayoutFile: v1.ImageLayout{Version: v1.ImageLayoutVersion},
		v1.ImageIndexFile:  index,
	} {
		b, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := putFile(w, name, bytes.NewReader(b), int64(len(b))); err != nil {
			return err
		}
	}
	return w.Close()
}

// putJSON adds value as a blob and returns what points to it.
func putJSON(w *tar.Writer, mediaType string, value any) (v1.Descriptor, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	return d, putFile(w, blobPath(d.Digest), bytes.NewReader(b), d.Size)
}

// putFile adds one plain file to the tarball.
func putFile(w *tar.Writer, name string, r io.Reader, size int64) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if _, err := io.CopyN(w, r, size); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func blobPath(d digest.Digest) string {
	return path.Join(v1.ImageBlobsDir, string(d.Algorithm()), d.Encoded())
}
