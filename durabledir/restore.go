// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// Why an archive that is well formed is not restored: the Reason of a
// *RefusedError. What is not well formed is a *paxtar.Error.
var (
	// ErrDuplicate: two entries have one name.
	ErrDuplicate = errors.New("the name is taken by an earlier entry")
	// ErrParent: an entry's directory has no entry before it.
	ErrParent = errors.New("no earlier entry makes its directory")
	// ErrLink: a hard link to what is no file of the archive.
	ErrLink = errors.New("a hard link to no file of the archive")
	// ErrDevice: a device node, without RestoreOptions.Devices.
	ErrDevice = errors.New("a device node")
	// ErrSetuid: a setuid or setgid program, with SetuidRefuse.
	ErrSetuid = errors.New("a setuid or setgid file")
	// ErrXattr: the file system does not take an extended attribute.
	ErrXattr = errors.New("an extended attribute that the file system does not take")
	// ErrLimit: more than RestoreOptions allows.
	ErrLimit = errors.New("more than the limit")
	// ErrNotEmpty: the directory to restore into holds something.
	ErrNotEmpty = errors.New("the directory is not empty")
)

// A RefusedError says why an archive is not restored, and at which entry.
// ErrLimit is an errdefs.ErrResourceExhausted too, ErrNotEmpty an
// errdefs.ErrFailedPrecondition, the others are errdefs.ErrDataLoss.
type RefusedError struct {
	Name   string
	Reason error
	Detail string
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("restore %q: %v", e.Name, e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap serves errors.Is.
func (e *RefusedError) Unwrap() []error {
	switch e.Reason {
	case ErrLimit:
		return []error{e.Reason, errdefs.ErrResourceExhausted}
	case ErrNotEmpty:
		return []error{e.Reason, errdefs.ErrFailedPrecondition}
	}
	return []error{e.Reason, errdefs.ErrDataLoss}
}

// A SetuidPolicy says what a restore does with the setuid and setgid bits of
// files that are no directories.
type SetuidPolicy int

const (
	// SetuidKeep restores them; the volume must lie on a nosuid mount, or
	// where no user of the host can reach it.
	SetuidKeep SetuidPolicy = iota
	// SetuidClear clears them and says so.
	SetuidClear
	// SetuidRefuse refuses the archive.
	SetuidRefuse
)

// RestoreOptions are a restore's policies. The zero value suits a volume in a
// directory that only root can reach.
type RestoreOptions struct {
	Setuid SetuidPolicy
	// Devices says that device nodes are made; otherwise they are refused.
	Devices bool
	// IgnoreOwners leaves every file to the calling user, for callers that may
	// not change owners.
	IgnoreOwners bool
	// AllXattrs restores every extended attribute. Otherwise those are passed
	// over, with a warning, that speak to the host and not to programs: all but
	// user.*, ACLs and file capabilities.
	AllXattrs bool
	// MaxBytes bounds the content of all files together, MaxFiles the number of
	// entries, MaxArchive the length of the archive; 0 means no bound.
	MaxBytes, MaxFiles, MaxArchive int64
	// Links, if it is not nil, learns of the files that the volume shares with
	// others of its snapshot.
	Links *Links
	// Writers is how many files are written at a time; 0 means as many as suit
	// the machine.
	Writers int
}

func (o *RestoreOptions) writers() int { return (&CaptureOptions{Readers: o.Writers}).readers() }

// Restore fills the directory dir, which exists and is empty, from an archive
// that Capture, or a tool like tar, has made and whoever may have changed. It
// reads r to its end; the caller compares digests then. The archive is refused as a whole, with a *paxtar.Error or a
// *RefusedError, if any entry is not what it should be; whenever Restore fails,
// dir is empty again.
//
// No name is resolved through a symlink, out of dir or into a mount, no file
// is replaced, and nothing is opened that was not created by this call. Nothing
// is durable when it returns.
func Restore(ctx context.Context, r io.Reader, dir string, opts RestoreOptions) (Report, error) {
	top, err := openRoot(dir)
	if err != nil {
		return Report{}, err
	}
	defer top.close()
	names, err := top.names()
	if err != nil {
		return Report{}, fmt.Errorf("restore into %s: %w", dir, err)
	}
	if len(names) > 0 {
		return Report{}, &RefusedError{Name: dir, Reason: ErrNotEmpty, Detail: fmt.Sprintf("it holds %q; restore into a new one", names[0])}
	}
	// What is made below a directory with a default ACL would inherit it.
	err = unix.Fremovexattr(top.fd, "system.posix_acl_default")
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return Report{}, fmt.Errorf("restore into %s: remove its default ACL: %w", dir, err)
	}
	s := newRestorer(ctx, top, paxtar.NewReader(bounded(r, opts.MaxArchive)), opts)
	if err := s.run(); err != nil {
		if clearing := clear(top); clearing != nil {
			err = fmt.Errorf("%w (and clear %s: %w)", err, dir, clearing)
		}
		return Report{}, err
	}
	if opts.Links != nil {
		if err := opts.Links.add(top, s.shared, s.links); err != nil {
			return Report{}, fmt.Errorf("restore into %s: %w", dir, err)
		}
	}
	return s.report, nil
}

// bounded returns a reader that fails beyond limit bytes.
func bounded(r io.Reader, limit int64) io.Reader {
	if limit <= 0 {
		return r
	}
	return &boundedReader{r: r, left: limit}
}

type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	// One byte more than allowed tells the end from an excess.
	p = p[:min(int64(len(p)), b.left+1)]
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &RefusedError{Name: ".", Reason: ErrLimit, Detail: "the archive is longer than it should be"}
	}
	return n, err
}

// clear removes everything below the root.
func clear(r root) error {
	top, err := scan(context.Background(), r, 1, true)
	if err != nil {
		return err
	}
	return clearNode(r, top)
}

func clearNode(r root, n *node) error {
	for _, c := range n.children {
		if c.stat.isDir() {
			if err := clearNode(r, c); err != nil {
				return err
			}
		}
	}
	d, err := r.openDir(n.path())
	if err != nil {
		return err
	}
	defer d.close()
	for _, c := range n.children {
		flags := 0
		if c.stat.isDir() {
			flags = unix.AT_REMOVEDIR
		}
		if err := unix.Unlinkat(d.fd, c.name, flags); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove %q: %w", c.path(), err)
		}
	}
	return nil
}

// split cuts a name into its directory and its last element.
func split(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}
