// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// errCrash ends everything that a crashDisk is asked for after its crash.
var errCrash = errors.New("power cut")

// A crashDisk is the file system with a power cut at a chosen step. It keeps a
// model of what the medium holds: a file's bytes reach it by syncFile, a
// directory's names by syncDir.
type crashDisk struct {
	osDisk
	steps int // until the power is cut; negative: never
	taken int
	syncs int // files and directories made durable
	// live has the nodes of what the running system sees.
	live map[string]*node
}

// A node is a file's or a directory's identity; the bytes of a file are those
// at its last sync.
type node struct {
	dir     bool
	synced  []byte
	durable bool
	names   map[string]*node // of a directory, at its last sync
}

func newCrashDisk(steps int) *crashDisk {
	return &crashDisk{steps: steps, live: map[string]*node{}}
}

func (d *crashDisk) step() error {
	if d.steps == 0 {
		return errCrash
	}
	d.steps--
	d.taken++
	return nil
}

// at returns the node of a path, which it makes for what others have made.
func (d *crashDisk) at(path string, dir bool) *node {
	n := d.live[path]
	if n == nil {
		n = &node{dir: dir}
		d.live[path] = n
	}
	return n
}

func (d *crashDisk) mkdir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := d.osDisk.mkdir(path); err != nil {
		return err
	}
	d.live[path] = &node{dir: true}
	return nil
}

func (d *crashDisk) writeFile(path string, data []byte) error {
	if err := d.step(); err != nil {
		return err
	}
	d.at(path, false)
	return d.osDisk.writeFile(path, data)
}

func (d *crashDisk) chmod(path string, mode fs.FileMode) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.chmod(path, mode)
}

func (d *crashDisk) syncFile(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.syncs++
	data, err := os.ReadFile(path)
	n := d.at(path, false)
	n.synced, n.durable = data, true
	return err
}

func (d *crashDisk) syncDir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.syncs++
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	n := d.at(path, true)
	n.names, n.durable = map[string]*node{}, true
	for _, e := range entries {
		n.names[e.Name()] = d.at(filepath.Join(path, e.Name()), e.IsDir())
	}
	return nil
}

func (d *crashDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := d.osDisk.rename(from, to); err != nil {
		return err
	}
	moved := map[string]*node{}
	for path, n := range d.live {
		if path == from || strings.HasPrefix(path, from+"/") {
			moved[to+strings.TrimPrefix(path, from)] = n
			delete(d.live, path)
		}
	}
	for path, n := range moved {
		d.live[path] = n
	}
	return nil
}

func (d *crashDisk) removeAll(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	for p := range d.live {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(d.live, p)
		}
	}
	return d.osDisk.removeAll(path)
}

// A loss says what the medium did with names that were not synced: a file
// system may write them back at any time, and may not.
type loss int

const (
	// forgetNames loses every change to a directory since its last sync.
	forgetNames loss = iota
	// keepNames has all names as they were at the crash, but bytes only as synced.
	keepNames
)

// reboot writes what the medium holds of from, the store's parent, into to.
func (d *crashDisk) reboot(t *testing.T, l loss, from, to string) {
	t.Helper()
	var write func(n *node, livePath, target string)
	write = func(n *node, livePath, target string) {
		if !n.dir {
			data := n.synced // an unsynced file is there without its bytes
			if err := os.WriteFile(target, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := os.MkdirAll(target, 0o700); err != nil {
			t.Fatal(err)
		}
		names := n.names
		if l == keepNames && livePath != "" {
			names = map[string]*node{}
			entries, err := os.ReadDir(livePath)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				names[e.Name()] = d.at(filepath.Join(livePath, e.Name()), e.IsDir())
			}
		}
		for name, child := range names {
			next := ""
			if livePath != "" {
				next = filepath.Join(livePath, name)
			}
			write(child, next, filepath.Join(target, name))
		}
	}
	root := d.live[from]
	if root == nil {
		root = &node{dir: true}
	}
	live := ""
	if l == keepNames {
		live = from
	}
	write(root, live, to)
}

// fill writes an image into a draft, as runsc does: nothing is synced.
func fill(t *testing.T, d *Draft) {
	t.Helper()
	for _, f := range imageFiles {
		if err := os.WriteFile(filepath.Join(ImageDir(d.Dir()), f.name), []byte("bytes of "+f.name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dataManifest is the smallest manifest.
func dataManifest(id artifacts.ID) *artifacts.Manifest {
	return &artifacts.Manifest{
		Format: artifacts.FormatVersion, ID: id, Created: id.Time().UTC(), Scope: artifacts.Data,
		Sandbox: artifacts.Sandbox{ID: "box"}, Parts: []artifacts.Part{},
	}
}

// TestPowerCutAtEveryStep publishes one snapshot after another and removes the
// first, with the power cut at every step in turn. After the reboot a snapshot is there whole
// or not at all; it is there if Publish had returned, and gone if Remove had.
func TestPowerCutAtEveryStep(t *testing.T) {
	for _, l := range []loss{forgetNames, keepNames} {
		for steps := 0; ; steps++ {
			done := false
			t.Run(fmt.Sprintf("loss %d/step %d", l, steps), func(t *testing.T) {
				done = powerCut(t, l, steps)
			})
			if done || t.Failed() {
				break
			}
			if steps == 500 {
				t.Fatal("it does not end")
			}
		}
	}
}

// powerCut runs the scenario and reports whether it ran to its end.
func powerCut(t *testing.T, l loss, steps int) (done bool) {
	disk := newCrashDisk(steps)
	parent := t.TempDir()
	first, second := artifacts.NewID(epoch), artifacts.NewID(epoch.Add(time.Second))
	var published []artifacts.ID
	removed := false
	err := func() error {
		s, err := open(filepath.Join(parent, "store"), disk)
		if err != nil {
			return err
		}
		for _, id := range []artifacts.ID{first, second} {
			d, err := s.NewDraft(id)
			if err != nil {
				return err
			}
			fill(t, d)
			if _, err := d.Publish(dataManifest(id)); err != nil {
				return err
			}
			published = append(published, id)
		}
		if err := s.Remove(first); err != nil {
			return err
		}
		removed = true
		return nil
	}()
	if err != nil && !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	rebooted := t.TempDir()
	disk.reboot(t, l, parent, rebooted)
	s, err := Open(filepath.Join(rebooted, "store"))
	if err != nil {
		t.Fatalf("open after the reboot: %v", err)
	}
	for i, id := range []artifacts.ID{first, second} {
		snap, err := s.Get(id)
		switch {
		case err == nil:
			if i == 0 && removed {
				t.Error("the removed snapshot is back")
			}
			checkWhole(t, snap)
		case !errors.Is(err, errdefs.ErrNotFound):
			t.Errorf("snapshot %d is torn: %v", i, err)
		case len(published) > i && (i == 1 || len(published) < 2):
			t.Errorf("snapshot %d was acknowledged and is lost", i)
		}
	}
	return disk.steps > 0
}

// checkWhole wants all bytes of the snapshot.
func checkWhole(t *testing.T, snap *Snapshot) {
	t.Helper()
	for _, f := range imageFiles {
		data, err := os.ReadFile(filepath.Join(ImageDir(snap.Dir), f.name))
		if err != nil || string(data) != "bytes of "+f.name {
			t.Errorf("%s of a visible snapshot: %q, %v", f.name, data, err)
		}
	}
}

// TestPublishSyncsWhatItMustOnce holds Publish to the number in its
// documentation, and reading to none.
func TestPublishSyncsWhatItMustOnce(t *testing.T) {
	disk := newCrashDisk(-1)
	s, err := open(filepath.Join(t.TempDir(), "store"), disk)
	if err != nil {
		t.Fatal(err)
	}
	id := artifacts.NewID(epoch)
	d, err := s.NewDraft(id)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, d)
	disk.syncs = 0
	if _, err := d.Publish(dataManifest(id)); err != nil {
		t.Fatal(err)
	}
	// Three files and the manifest; image, recipes, durable and the draft; two.
	if disk.syncs != 10 {
		t.Errorf("publish took %d syncs, want 10", disk.syncs)
	}
	disk.syncs = 0
	if _, err := s.Get(id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); err != nil {
		t.Fatal(err)
	}
	if disk.syncs != 0 {
		t.Errorf("reading took %d syncs, want none", disk.syncs)
	}
}
