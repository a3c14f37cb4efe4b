// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
)

// A File is an entry of a DurableDir.
type File struct {
	// Path is the volume's name and the path in it.
	Path string `json:"path"`
	// Mode is as ls prints it.
	Mode string `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Size in bytes; of a sparse file the apparent one.
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// Target is where a symbolic link points to, or which entry a hard link is.
	Target string `json:"target,omitempty"`
	// Digest of a regular file's content, where it was asked for.
	Digest artifacts.Digest `json:"digest,omitzero"`
}

// Content says whether List reads files or only their headers.
type Content bool

// Values of Content.
const (
	Headers Content = false
	Digests Content = true
)

// List returns the entries of all the DurableDirs in a snapshot.
func List(ctx context.Context, s bucket.Store, m *artifacts.Manifest, content Content) ([]File, error) {
	files := []File{}
	for _, p := range m.Parts {
		volume, ok := p.Durable()
		if !ok {
			continue
		}
		err := Walk(ctx, s, m.ID, p, func(h *tar.Header, r io.Reader) error {
			f := newFile(volume, h)
			if content == Digests && h.Typeflag == tar.TypeReg {
				sum := sha256.New()
				if _, err := io.Copy(sum, r); err != nil {
					return fmt.Errorf("read file %q of snapshot %s: %w: %w", f.Path, m.ID, err, errdefs.ErrDataLoss)
				}
				f.Digest = artifacts.Digest(sum.Sum(nil))
			}
			files = append(files, f)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func newFile(volume string, h *tar.Header) File {
	f := File{
		Path: path.Join(volume, h.Name), Mode: h.FileInfo().Mode().String(), UID: h.Uid, GID: h.Gid,
		Size: h.Size, Modified: h.ModTime.UTC(), Target: h.Linkname,
	}
	if h.Typeflag == tar.TypeLink {
		f.Target = path.Join(volume, h.Linkname)
	}
	return f
}

// Cat writes the content of one regular file to w. name is the volume's name
// and the path in it.
func Cat(ctx context.Context, s bucket.Store, m *artifacts.Manifest, name string, w io.Writer) error {
	name = path.Clean(name)
	volume, _, _ := strings.Cut(name, "/")
	i := slices.IndexFunc(m.Parts, func(p artifacts.Part) bool { return p.Name == artifacts.DurablePrefix+volume })
	if i < 0 {
		return fmt.Errorf("snapshot %s has no DurableDir %q: %w", m.ID, volume, errdefs.ErrNotFound)
	}
	link, err := catEntry(ctx, s, m, m.Parts[i], name, w)
	if err == nil && link != "" {
		// The content is under the first of a file's names.
		_, err = catEntry(ctx, s, m, m.Parts[i], link, w)
	}
	return err
}

// catEntry copies the content of one entry, or returns the name that it is a hard link to.
func catEntry(ctx context.Context, s bucket.Store, m *artifacts.Manifest, p artifacts.Part, name string, w io.Writer) (link string, err error) {
	volume, _ := p.Durable()
	found := false
	err = Walk(ctx, s, m.ID, p, func(h *tar.Header, r io.Reader) error {
		f := newFile(volume, h)
		if f.Path != name {
			return nil
		}
		found = true
		switch h.Typeflag {
		case tar.TypeLink:
			link = f.Target
		case tar.TypeReg:
			if _, err := io.Copy(w, r); err != nil {
				return fmt.Errorf("copy file %q of snapshot %s: %w", name, m.ID, err)
			}
		default:
			return fmt.Errorf("file %q of snapshot %s is no regular file (%s): %w", name, m.ID, f.Mode, errdefs.ErrFailedPrecondition)
		}
		return errStop
	})
	if err == nil && !found {
		err = fmt.Errorf("snapshot %s has no file %q: %w", m.ID, name, errdefs.ErrNotFound)
	}
	return link, err
}
