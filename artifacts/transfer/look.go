// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
)

// Volumes returns the names of the DurableDirs of a snapshot, in its order.
func Volumes(m *artifacts.Manifest) []string {
	var all []string
	for _, p := range m.Parts {
		if v, ok := p.Durable(); ok {
			all = append(all, v)
		}
	}
	return all
}

// OpenVolume opens the tar stream of a volume. The caller closes it, and calls
// Check before it believes what it has read. The error is ErrNotFound if the
// snapshot has no such volume.
func OpenVolume(ctx context.Context, s bucket.Store, m *artifacts.Manifest, volume string) (*Archive, error) {
	for _, p := range m.Parts {
		if v, ok := p.Durable(); ok && v == volume {
			return openArchive(ctx, s, m.ID, p)
		}
	}
	return nil, fmt.Errorf("open volume %q: snapshot %s has %q: %w", volume, m.ID, Volumes(m), errdefs.ErrNotFound)
}

// Export writes the tar stream of a volume to w. What it has written is good
// only if it returns without error.
func Export(ctx context.Context, s bucket.Store, m *artifacts.Manifest, volume string, w io.Writer) error {
	a, err := OpenVolume(ctx, s, m, volume)
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := io.Copy(w, &meteredReader{ctx: ctx, r: a}); err != nil {
		return fmt.Errorf("export volume %q of snapshot %s: %w", volume, m.ID, err)
	}
	return a.Check()
}

// A File is an entry of a volume with its content. The reader is valid until
// the next one.
type File struct {
	*tar.Header
	Content io.Reader
}

// cleanName returns a path relative to the volume's root; the root itself is ".".
func cleanName(name string) string { return path.Clean(strings.TrimPrefix(name, "/")) }

// Files yields the entries of a volume in their order. It fetches that
// volume's object and nothing else. The last thing that it yields is an error
// if the object is not the snapshot's; then none of the entries can be believed.
func Files(ctx context.Context, s bucket.Store, m *artifacts.Manifest, volume string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		a, err := OpenVolume(ctx, s, m, volume)
		if err != nil {
			yield(File{}, err)
			return
		}
		defer a.Close()
		r := tar.NewReader(&meteredReader{ctx: ctx, r: a})
		for {
			h, err := r.Next()
			if err != nil {
				if checkErr := a.Check(); checkErr != nil {
					err = checkErr
				}
				if !errors.Is(err, io.EOF) {
					yield(File{}, fmt.Errorf("list volume %q of snapshot %s: %w", volume, m.ID, err))
				}
				return
			}
			h.Name = cleanName(h.Name)
			if !yield(File{Header: h, Content: r}, nil) {
				return
			}
		}
	}
}

// Cat writes the content of one file of a volume to w. It reads the volume to
// its end to check it: what it has written is good only if it returns without error. The error is
// ErrNotFound if there is no such file and ErrInvalidArgument for what has no content.
func Cat(ctx context.Context, s bucket.Store, m *artifacts.Manifest, volume, name string, w io.Writer) error {
	name = cleanName(name)
	found := false
	for f, err := range Files(ctx, s, m, volume) {
		if err != nil {
			return err
		}
		if f.Name != name {
			continue
		}
		if f.Typeflag != tar.TypeReg && f.Typeflag != tar.TypeLink {
			return fmt.Errorf("print %s of volume %q: it is no file: %w", name, volume, errdefs.ErrInvalidArgument)
		}
		if f.Typeflag == tar.TypeLink {
			return Cat(ctx, s, m, volume, f.Linkname, w)
		}
		found = true
		if _, err := io.Copy(w, f.Content); err != nil {
			return fmt.Errorf("print %s of volume %q: %w", name, volume, err)
		}
	}
	if !found {
		return fmt.Errorf("print %s: not in volume %q of snapshot %s: %w", name, volume, m.ID, errdefs.ErrNotFound)
	}
	return nil
}

// A ChangeKind says how an entry of a volume differs between two snapshots.
type ChangeKind string

const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Modified ChangeKind = "modified"
	// Touched entries have the same content and other attributes.
	Touched ChangeKind = "touched"
)

// A Change is one difference. Sizes are in bytes; an entry that is not there has 0.
type Change struct {
	Volume string     `json:"volume"`
	Name   string     `json:"name"`
	Kind   ChangeKind `json:"kind"`
	Before int64      `json:"before"`
	After  int64      `json:"after"`
}

// Diff returns what differs in the volumes of two snapshots in one store, by
// volume and then in the order of the archives. Volumes that are equal by their digest are not fetched.
func Diff(ctx context.Context, s bucket.Store, a, b *artifacts.Manifest) ([]Change, error) {
	digests := func(m *artifacts.Manifest) map[string]artifacts.Digest {
		all := map[string]artifacts.Digest{}
		for _, p := range m.Parts {
			if v, ok := p.Durable(); ok {
				all[v] = p.Digest
			}
		}
		return all
	}
	before, after := digests(a), digests(b)
	var changes []Change
	names := Volumes(a)
	for _, v := range Volumes(b) {
		if _, ok := before[v]; !ok {
			names = append(names, v)
		}
	}
	for _, v := range names {
		if before[v] == after[v] {
			continue
		}
		c, err := diffVolume(ctx, s, a, b, v, !before[v].IsZero(), !after[v].IsZero())
		if err != nil {
			return nil, fmt.Errorf("compare snapshots %s and %s: %w", a.ID, b.ID, err)
		}
		changes = append(changes, c...)
	}
	return changes, nil
}

// A summary is what Diff compares of an entry.
type summary struct {
	content [sha256.Size]byte
	size    int64
	header  string
}

func diffVolume(ctx context.Context, s bucket.Store, a, b *artifacts.Manifest, volume string, inA, inB bool) ([]Change, error) {
	old, oldNames, err := summarize(ctx, s, a, volume, inA)
	if err != nil {
		return nil, err
	}
	fresh, freshNames, err := summarize(ctx, s, b, volume, inB)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, name := range oldNames {
		was := old[name]
		is, ok := fresh[name]
		c := Change{Volume: volume, Name: name, Before: was.size, After: is.size}
		switch {
		case !ok:
			c.Kind = Removed
		case was.content != is.content || was.size != is.size:
			c.Kind = Modified
		case was.header != is.header:
			c.Kind = Touched
		default:
			continue
		}
		changes = append(changes, c)
	}
	for _, name := range freshNames {
		if _, ok := old[name]; !ok {
			changes = append(changes, Change{Volume: volume, Name: name, Kind: Added, After: fresh[name].size})
		}
	}
	return changes, nil
}

func summarize(ctx context.Context, s bucket.Store, m *artifacts.Manifest, volume string, there bool) (map[string]summary, []string, error) {
	all := map[string]summary{}
	var names []string
	if !there {
		return all, nil, nil
	}
	for f, err := range Files(ctx, s, m, volume) {
		if err != nil {
			return nil, nil, err
		}
		h := sha256.New()
		if _, err := io.Copy(h, f.Content); err != nil {
			return nil, nil, err
		}
		all[f.Name] = summary{
			content: [sha256.Size]byte(h.Sum(nil)), size: f.Size,
			header: fmt.Sprintf("%c %o %d %d %s %d:%d %d %v", f.Typeflag, f.Mode, f.Uid, f.Gid, f.Linkname, f.Devmajor, f.Devminor, f.ModTime.UnixNano(), f.PAXRecords),
		}
		names = append(names, f.Name)
	}
	return all, names, nil
}
