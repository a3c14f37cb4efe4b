// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// Links are the files that volumes of one snapshot share: names in several
// volumes for one file. Each Restore of the snapshot's volumes adds to them,
// also at the same time, and Join makes them one file again. The zero value is
// ready to use; the caller closes it.
type Links struct {
	mu    sync.Mutex
	roots []root
	files map[string][]sharedFile
}

// A sharedFile is a shared file in one volume, with all its names there.
type sharedFile struct {
	root  root
	names []string
}

// add notes the shared files of one restored volume, and those of its hard
// links that lead to them.
func (l *Links) add(top root, shared, links []*paxtar.Header) error {
	if len(shared) == 0 {
		return nil
	}
	r, err := top.openDir(".")
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roots = append(l.roots, r)
	if l.files == nil {
		l.files = map[string][]sharedFile{}
	}
	others := map[string][]string{}
	for _, h := range links {
		others[h.Linkname] = append(others[h.Linkname], h.Name)
	}
	for _, h := range shared {
		l.files[h.Shared] = append(l.files[h.Shared], sharedFile{r, append([]string{h.Name}, others[h.Name]...)})
	}
	return nil
}

// Join replaces equal files by hard links to one of them, after the volumes
// are restored. Files that are not equal in content and attributes stay apart,
// as do those on different file systems; the sentences tell of them.
func (l *Links) Join() (warnings []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, files := range l.files {
		for _, f := range files[1:] {
			err := join(files[0], f)
			if errors.Is(err, errApart) || errors.Is(err, unix.EXDEV) {
				list(&warnings, "%q and %q of another volume were one file and are two now: %v", files[0].names[0], f.names[0], err)
			} else if err != nil {
				return warnings, fmt.Errorf("link %q to %q of another volume: %w", f.names[0], files[0].names[0], err)
			}
		}
	}
	return warnings, nil
}

// Close gives up the volumes. They stay as they are.
func (l *Links) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.roots {
		r.close()
	}
	l.roots, l.files = nil, nil
	return nil
}

var errApart = errors.New("they differ")

// joining is a name that the second file's directory has for a moment.
const joining = ".ateom-joining"

// join makes all names of the second file names of the first.
func join(first, second sharedFile) error {
	if one, err := compareFiles(first, second); one || err != nil {
		return err
	}
	dir, base := split(first.names[0])
	from, err := first.root.openDir(dir)
	if err != nil {
		return err
	}
	defer from.close()
	for _, name := range second.names {
		if err := joinName(from, base, second.root, name); err != nil {
			return err
		}
	}
	return nil
}

// joinName makes name one more name of the file base in the directory from.
func joinName(from root, base string, top root, name string) error {
	dir, last := split(name)
	to, err := top.openDir(dir)
	if err != nil {
		return err
	}
	defer to.close()
	before, err := statFD(to.fd)
	if err != nil {
		return err
	}
	if err := unix.Linkat(from.fd, base, to.fd, joining, 0); err != nil {
		return err
	}
	if err := unix.Renameat(to.fd, joining, to.fd, last); err != nil {
		return errors.Join(err, unix.Unlinkat(to.fd, joining, 0))
	}
	return setTimes(to.fd, ".", &paxtar.Header{ModTime: before.mtime}, 0)
}

// compareFiles returns errApart unless two files have the same content and
// attributes. one says that they are one file already.
func compareFiles(first, second sharedFile) (one bool, err error) {
	var files [2]*content
	for i, f := range []sharedFile{first, second} {
		dir, base := split(f.names[0])
		d, err := f.root.openDir(dir)
		if err != nil {
			return false, err
		}
		st, err := statAt(d, base)
		d.close()
		if err != nil {
			return false, err
		}
		parent := &node{}
		files[i], err = openContent(f.root, &entry{node: &node{parent: parent, name: f.names[0], stat: st}})
		if err != nil {
			return false, err
		}
		defer files[i].close()
	}
	a, b := files[0], files[1]
	if a.stat.ino == b.stat.ino && a.stat.dev == b.stat.dev {
		return true, nil
	}
	head, err := paxtar.Append(nil, renamed(a.Header))
	if err != nil {
		return false, err
	}
	other, err := paxtar.Append(nil, renamed(b.Header))
	if err != nil {
		return false, err
	}
	if !bytes.Equal(head, other) {
		return false, errApart
	}
	return false, compareContent(a, b)
}

// renamed returns a header as it would be under one certain name.
func renamed(h paxtar.Header) *paxtar.Header {
	h.Name = "f"
	return &h
}

// compareContent compares two files with the same extents.
func compareContent(a, b *content) error {
	one, other := make([]byte, chunkBytes), make([]byte, chunkBytes)
	return a.runs(func(offset, length int64) error {
		for length > 0 {
			n := min(length, chunkBytes)
			if err := readFull(a.fd, one[:n], offset); err != nil {
				return err
			}
			if err := readFull(b.fd, other[:n], offset); err != nil {
				return err
			}
			if !bytes.Equal(one[:n], other[:n]) {
				return errApart
			}
			offset, length = offset+n, length-n
		}
		return nil
	})
}
