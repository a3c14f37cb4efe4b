// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inside keeps the directory in which the programs of a sandbox learn
// which copy they are, and the file in which they ask for what they may.
//
// The directory is read-only to them. The file is all that they write to here:
// its content is theirs, and nothing is believed of it.
package inside

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Annotation is the path of the directory in the container.
const Annotation = "ateom.dev/inside"

// Files in the directory. Each holds one line; a file is replaced by another one,
// never changed.
const (
	// generation is an id that no other run of the sandbox's memory has.
	generation = "generation"
	// snapshot is the id of the snapshot that the memory came from; an empty
	// line if it is new.
	snapshot = "snapshot"
	// copies is how often this node has started a sandbox from that snapshot since
	// it booted, this one included.
	copies = "copies"
	// answer is what became of the last request.
	answer = "answer"
	// request is where a request is written, if requests are allowed.
	request = "request"
)

// maxAnswer bounds a line of answer, in bytes.
const maxAnswer = 1 << 10

// ParseDir reads the annotation's value; empty means no directory. Errors are
// errdefs.ErrInvalidArgument.
func ParseDir(text string) (string, error) {
	refuse := func(why string) (string, error) {
		return "", fmt.Errorf("%s: %s, got %q: %w", Annotation, why, text, errdefs.ErrInvalidArgument)
	}
	switch {
	case text == "":
		return "", nil
	case !path.IsAbs(text) || path.Clean(text) != text || len(text) > unix.PathMax || strings.ContainsRune(text, 0):
		return refuse("want an absolute path without \"..\" or a slash at its end")
	case text == "/":
		return refuse("want a directory of its own")
	}
	for _, reserved := range []string{"/proc", "/sys", "/dev"} {
		if text == reserved || strings.HasPrefix(text, reserved+"/") {
			return refuse("must not be in " + reserved)
		}
	}
	return text, nil
}

// A Dir is the directory on the host, and the file system that requests are
// written to.
type Dir struct {
	info     string
	requests string // "" if none are allowed
}

// requestLimit is the size of the file system for requests: a container must
// not fill the node's memory through it.
const requestLimit = "size=64k,nr_inodes=8,mode=0755"

// New makes the directory below the directory dir, which is the sandbox's. Close
// must be called.
func New(dir string, requests bool) (_ *Dir, err error) {
	d := &Dir{info: filepath.Join(dir, "inside")}
	defer func() {
		if err != nil {
			err = fmt.Errorf("make what a container is told: %w", errors.Join(err, d.Close()))
		}
	}()
	// What a crash has left under the same name is of no use to anybody.
	if err := errors.Join(d.Close(), os.RemoveAll(d.info), os.RemoveAll(filepath.Join(dir, "requests"))); err != nil {
		return nil, err
	}
	if err := os.Mkdir(d.info, 0o755); err != nil {
		return nil, err
	}
	// A name to mount the file at; what may not ask finds it read-only.
	if err := os.WriteFile(filepath.Join(d.info, request), nil, 0o444); err != nil {
		return nil, err
	}
	if !requests {
		return d, nil
	}
	d.requests = filepath.Join(dir, "requests")
	if err := os.Mkdir(d.requests, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", d.requests, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, requestLimit); err != nil {
		return nil, fmt.Errorf("mount %s: %w", d.requests, err)
	}
	if err := os.WriteFile(d.requestPath(), nil, 0o600); err != nil {
		return nil, err
	}
	return d, os.Chmod(d.requestPath(), 0o666) // a container's user is whoever it says
}

func (d *Dir) requestPath() string { return filepath.Join(d.requests, request) }

// Close unmounts what New has mounted; the files go with the sandbox's directory.
func (d *Dir) Close() error { return Unmount(filepath.Dir(d.info)) }

// Unmount unmounts what a Dir below the sandbox's directory has mounted, if it has.
func Unmount(dir string) error {
	err := unix.Unmount(filepath.Join(dir, "requests"), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount requests below %s: %w", dir, err)
	}
	return nil
}

// Mounts returns the mounts that put the directory at a path of a container. One
// of the container's own mounts in its place is errdefs.ErrInvalidArgument.
func (d *Dir) Mounts(at string, own []specs.Mount) ([]specs.Mount, error) {
	if slices.ContainsFunc(own, func(m specs.Mount) bool {
		other := path.Clean(m.Destination)
		return other == at || strings.HasPrefix(other, at+"/")
	}) {
		return nil, fmt.Errorf("%s: the container has a mount at %s: %w", Annotation, at, errdefs.ErrInvalidArgument)
	}
	bind := func(source, destination, mode string) specs.Mount {
		return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"rbind", mode, "nosuid", "nodev", "noexec"}}
	}
	mounts := []specs.Mount{bind(d.info, at, "ro")}
	if d.requests != "" {
		mounts = append(mounts, bind(d.requestPath(), path.Join(at, request), "rw"))
	}
	return mounts, nil
}

// Places are where Mounts mounts something for the directory at a path.
func Places(at string, requests bool) []string {
	if !requests {
		return []string{at}
	}
	return []string{at, path.Join(at, request)}
}

// An Origin is where the memory of a sandbox comes from.
type Origin struct {
	Snapshot string // its id; empty if the memory is new
	Copies   int
}

// Begin says that the memory runs anew, and gives it its generation.
func (d *Dir) Begin(o Origin) error {
	return errors.Join(
		d.write(snapshot, o.Snapshot),
		d.write(copies, fmt.Sprint(o.Copies)),
		// Last, so that whoever sees a new one sees the others too.
		d.write(generation, newGeneration()),
	)
}

// newGeneration returns 128 random bits in the form of a UUID, as others give
// such ids.
func newGeneration() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Answer says what became of a request.
func (d *Dir) Answer(text string) error { return d.write(answer, text) }

// write replaces a file with one line.
func (d *Dir) write(name, line string) error {
	line = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, line)
	path := filepath.Join(d.info, name)
	tmp := filepath.Join(d.info, "."+name) // an answer may be written while a Resume begins
	if err := os.WriteFile(tmp, []byte(line[:min(len(line), maxAnswer)]+"\n"), 0o444); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
