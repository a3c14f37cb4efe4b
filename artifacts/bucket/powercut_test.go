// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// A medium is an ext4 file system in a file. What has reached that file is
// what a power cut leaves: ext4's own cache lies above it, and is written by
// nothing but syncs here, since its timer is set to ten minutes and its
// heuristics for unsynced renames are off.
type medium struct{ image, dir string }

const mediumOptions = "loop,commit=600,noauto_da_alloc"

// newMedium makes an empty medium. Its file is in memory, as are those of all
// that come of it: what is tested is not the disk's speed.
func newMedium(t *testing.T) *medium {
	t.Helper()
	memory := t.TempDir()
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, memory) })
	image := filepath.Join(memory, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	return mountMedium(t, image)
}

func mountMedium(t *testing.T, image string) *medium {
	t.Helper()
	m := &medium{image: image, dir: t.TempDir()}
	if out, err := exec.Command("mount", "-t", "ext4", "-o", mediumOptions, image, m.dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() { unmount(t, m.dir) })
	return m
}

// unmount takes a file system away. The kernel lets go of a loop device's file, and
// of what a child had open that is just being started, a moment later.
func unmount(t *testing.T, dir string) {
	t.Helper()
	var err error
	for range 100 {
		if err = unix.Unmount(dir, 0); err != unix.EBUSY {
			break
		}
		time.Sleep(50 * time.Millisecond) // nothing tells when it has
	}
	if err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// afterPowerCut is the medium as a machine finds it that lost its power now.
func (m *medium) afterPowerCut(t *testing.T) *medium {
	t.Helper()
	data, err := os.ReadFile(m.image)
	if err != nil {
		t.Fatal(err)
	}
	image := m.image + "-after"
	if err := os.WriteFile(image, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return mountMedium(t, image)
}

var errPowerCut = errors.New("power cut")

// A doomed tree fails from a chosen step on. A step is a call that changes the
// tree, or a read of what is being written to it.
type doomed struct {
	tree
	left int
}

func (d *doomed) step() error {
	if d.left == 0 {
		return errPowerCut
	}
	d.left--
	return nil
}

func (d *doomed) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.tree.OpenFile(name, flag, perm)
}

// Open is how a directory is synced.
func (d *doomed) Open(name string) (*os.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.tree.Open(name)
}

func (d *doomed) Mkdir(name string, perm fs.FileMode) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.tree.Mkdir(name, perm)
}

func (d *doomed) Link(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.tree.Link(from, to)
}

func (d *doomed) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.tree.Rename(from, to)
}

func (d *doomed) Remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.tree.Remove(name)
}

// body counts reads of what is written, so that the power fails in mid-write.
type doomedBody struct {
	io.ReaderAt
	d *doomed
}

func (b doomedBody) ReadAt(p []byte, offset int64) (int, error) {
	if err := b.d.step(); err != nil {
		return 0, err
	}
	return b.ReaderAt.ReadAt(p, offset)
}

// TestPowerCutAtEveryStep writes objects as a Commit does, packs and then what
// names them, and cuts the power at every step in turn. What was acknowledged
// is there, and nothing that is there is half.
func TestPowerCutAtEveryStep(t *testing.T) {
	big, small := bytes.Repeat([]byte("pack"), 50_000), []byte(`{"manifest":1}`)
	for steps := 0; ; steps++ {
		if steps == 200 {
			t.Fatal("it does not end")
		}
		done := false
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			m := newMedium(t)
			s, err := newFileStore(m.dir, "", "file://medium")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			d := &doomed{tree: s.root, left: steps}
			s.root = d
			put := func(data []byte) func(key string) error {
				return func(key string) error {
					return s.Put(t.Context(), key, doomedBody{bytes.NewReader(data), d}, int64(len(data)))
				}
			}
			acknowledged := map[string][]byte{}
			for _, w := range []struct {
				key  string
				data []byte
				do   func(key string) error
			}{
				{"packs/aa/1", big, put(big)},
				{"packs/aa/2", big[:70_000], put(big[:70_000])},
				{"snapshots/1/manifest.json", small, func(key string) error { return s.Create(t.Context(), key, small) }},
				{"packs/bb/3", nil, put(nil)},
				{"packs/aa/1", big, put(big)}, // a commit sent it at the same time
				{"snapshots/2/manifest.json", small, func(key string) error { return s.Create(t.Context(), key, small) }},
			} {
				if err = w.do(w.key); err != nil {
					break
				}
				acknowledged[w.key] = w.data
			}
			if err != nil && !strings.Contains(err.Error(), errPowerCut.Error()) {
				t.Fatal(err)
			}
			done = err == nil && d.left > 0
			checkRebooted(t, m.afterPowerCut(t), acknowledged, map[string][]byte{
				"packs/aa/1": big, "packs/aa/2": big[:70_000], "packs/bb/3": nil,
				"snapshots/1/manifest.json": small, "snapshots/2/manifest.json": small,
			})
		})
		if done || t.Failed() {
			return
		}
	}
}

// checkRebooted wants all that was acknowledged, nothing that is not whole, and
// a store that goes on.
func checkRebooted(t *testing.T, m *medium, acknowledged, whole map[string][]byte) {
	t.Helper()
	s, err := newFileStore(m.dir, "", "file://rebooted")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for key, want := range whole {
		r, err := s.Get(t.Context(), key, 0, -1)
		if errdefs.IsNotFound(err) {
			if _, ok := acknowledged[key]; ok {
				t.Errorf("%s was acknowledged and is lost", key)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", key, len(got), err, len(want))
		}
	}
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := whole[info.Key]; !ok || strings.Contains(info.Key, tempPrefix) {
			t.Errorf("%s is listed", info.Key)
		}
	}
	for key, data := range whole {
		if err := s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("again after the power cut: %v", err)
		}
	}
}
