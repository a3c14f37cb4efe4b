// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/google/go-cmp/cmp"
)

// epoch is when the tests' first snapshot was taken.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// openStore opens a store that ends with the test.
func openStore(t testing.TB, url string) bucket.Store {
	t.Helper()
	s, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fileURL(dir string) string { return "file://" + filepath.ToSlash(dir) }

// A node is one side of a transfer: a local store and two volumes.
type node struct {
	t       testing.TB
	store   *local.Store
	volumes []job.Volume
	// plain is the length up to which volumes are sent as plain objects.
	plain int64
	// indexes is where commits keep theirs; empty keeps none.
	indexes string
}

func newNode(t testing.TB) *node {
	t.Helper()
	dir := t.TempDir()
	store, err := local.Open(filepath.Join(dir, "local"))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, store: store, plain: maxPlain}
	for _, name := range []string{"home", "work"} {
		path := filepath.Join(dir, "volumes", name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		n.volumes = append(n.volumes, job.Volume{Name: name, Path: path})
	}
	return n
}

// write puts content into a file of a volume.
func (n *node) write(volume int, name, content string) {
	n.t.Helper()
	path := filepath.Join(n.volumes[volume].Path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// tree returns the content of all files of all volumes.
func (n *node) tree() map[string]string {
	n.t.Helper()
	all := map[string]string{}
	for _, v := range n.volumes {
		err := filepath.WalkDir(v.Path, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			rel, _ := filepath.Rel(v.Path, path)
			all[v.Name+"/"+rel] = string(b)
			return err
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
	return all
}

// draft makes a draft with the image.
func (n *node) draft(id artifacts.ID, image map[string][]byte) *local.Draft {
	n.t.Helper()
	d, err := n.store.NewDraft(id)
	if err != nil {
		n.t.Fatal(err)
	}
	for part, data := range image {
		path, err := local.ImagePath(d.Dir(), part)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
	return d
}

// image reads the image back.
func readImage(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	image := map[string][]byte{}
	for _, part := range local.ImageParts() {
		path, err := local.ImagePath(dir, part)
		if err != nil {
			t.Fatal(err)
		}
		image[part], err = os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// testImage makes an image of the given number of pages: random ones, pages of text, and zeros.
func testImage(seed uint64, pages int) map[string][]byte {
	rng := rand.NewChaCha8([32]byte{byte(seed)})
	data := make([]byte, pages*4096)
	for i := range pages {
		page := data[i*4096:][:4096]
		switch {
		case i%16 < 6:
			rng.Read(page)
		case i%16 < 11:
			copy(page, bytes.Repeat([]byte(fmt.Sprintf("page %d of seed %d\n", i, seed)), 300))
		}
	}
	kernel := make([]byte, 150_001)
	rng.Read(kernel)
	return map[string][]byte{
		artifacts.PartKernel:    kernel,
		artifacts.PartPagesMeta: bytes.Repeat([]byte("range "), 5000),
		artifacts.PartPages:     data,
	}
}

// manifest returns one without parts.
func manifest(id artifacts.ID, scope artifacts.Scope) *artifacts.Manifest {
	m := &artifacts.Manifest{
		Format: artifacts.FormatVersion, ID: id, Created: id.Time().UTC(), Scope: scope,
		Sandbox: artifacts.Sandbox{ID: "box", Namespace: "default", Containers: []artifacts.Container{{ID: "box"}}},
	}
	if scope == artifacts.Full {
		m.Runtime = &artifacts.Runtime{Name: "runsc", Version: "test", SHA256: "00"}
		m.Machine = &artifacts.Machine{Arch: "amd64", PageSize: 4096}
	}
	return m
}

// commit puts one snapshot of the node into s and returns its manifest and
// how many bytes were sent.
func (n *node) commit(s bucket.Store, scope artifacts.Scope, at time.Time, image map[string][]byte, parent artifacts.ID) (*artifacts.Manifest, int64) {
	n.t.Helper()
	m, sent, err := n.tryCommit(n.t.Context(), s, scope, at, image, parent)
	if err != nil {
		n.t.Fatal(err)
	}
	return m, sent
}

func (n *node) tryCommit(ctx context.Context, s bucket.Store, scope artifacts.Scope, at time.Time, image map[string][]byte, parent artifacts.ID) (*artifacts.Manifest, int64, error) {
	n.t.Helper()
	id := artifacts.NewID(at)
	d := n.draft(id, image)
	defer d.Abort()
	counted := bucket.Count(s)
	c, _, err := NewCommit(ctx, counted, &job.Request{Dir: d.Dir(), ID: id, Scope: scope, Volumes: n.volumes, Parent: parent, Indexes: n.indexes})
	if err != nil {
		return nil, 0, err
	}
	c.maxPlain = n.plain
	defer c.Close()
	if err := c.Capture(ctx, ""); err != nil {
		return nil, 0, err
	}
	m := manifest(id, scope)
	m.Parent = parent
	m, err = c.Upload(ctx, m, nil)
	return m, counted.Sent(), err
}

// fetch brings a snapshot to the node and returns the directory of its image.
func (n *node) fetch(s bucket.Store, id artifacts.ID, lazy bool) (string, []string, error) {
	n.t.Helper()
	dir := n.t.TempDir()
	_, warnings, err := Fetch(n.t.Context(), s, &job.Request{Dir: dir, ID: id, Volumes: n.volumes, Lazy: lazy}, nil)
	return dir, warnings, err
}

func TestCommitAndFetch(t *testing.T) {
	for _, scheme := range []string{"file", "mem"} {
		for _, scope := range []artifacts.Scope{artifacts.Data, artifacts.Full} {
			t.Run(scheme+"/"+string(scope), func(t *testing.T) {
				url := "mem://?prefix=team/a"
				if scheme == "file" {
					url = fileURL(t.TempDir()) + "?prefix=team/a"
				}
				s := openStore(t, url)
				here, there := newNode(t), newNode(t)
				here.write(0, "notes/today.txt", "remember")
				here.write(1, "counter", "42")
				var image map[string][]byte
				if scope == artifacts.Full {
					image = testImage(1, 1000)
				}
				m, _ := here.commit(s, scope, epoch, image, "")

				got, err := Get(t.Context(), s, m.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(m, got); diff != "" {
					t.Errorf("the manifest in the store (-sent +read):\n%s", diff)
				}
				dir, warnings, err := there.fetch(s, m.ID, false)
				if err != nil {
					t.Fatal(err)
				}
				if len(warnings) > 0 {
					t.Errorf("warnings: %q", warnings)
				}
				if diff := cmp.Diff(here.tree(), there.tree()); diff != "" {
					t.Errorf("volumes (-committed +fetched):\n%s", diff)
				}
				if scope == artifacts.Full {
					if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
						t.Error("the fetched image is another one")
					}
				}
				if _, err := VerifyLocal(t.Context(), dir, nil); err != nil {
					t.Errorf("verify what was fetched: %v", err)
				}
			})
		}
	}
}

func TestFetchLazilyLeavesThePages(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	image := testImage(2, 300)
	m, _ := here.commit(s, artifacts.Full, epoch, image, "")
	dir, _, err := there.fetch(s, m.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := local.ImagePath(dir, artifacts.PartPages)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("pages of a lazy fetch: %v, want none", err)
	}
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, recipe.Size())
	for i := range recipe.Len() {
		c := recipe.Chunk(i)
		if err := ReadChunk(t.Context(), s, recipe, i, got[c.Offset:][:c.Length]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, image[artifacts.PartPages]) {
		t.Error("the chunks read one by one are not the pages")
	}
}

func TestFetchedPagesHaveHoles(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	image := testImage(3, 16)
	image[artifacts.PartPages] = append(image[artifacts.PartPages], make([]byte, 64<<20)...)
	m, sent := here.commit(s, artifacts.Full, epoch, image, "")
	if sent > 1<<20 {
		t.Errorf("sent %d bytes for 64 MiB of zeros", sent)
	}
	dir, _, err := there.fetch(s, m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := local.ImagePath(dir, artifacts.PartPages)
	if got := allocated(t, path); got > 1<<20 {
		t.Errorf("the fetched pages take %d bytes on disk, want holes", got)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
		t.Error("the fetched image is another one")
	}
}

func TestUnchangedIsNotSentAgain(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	n := newNode(t)
	image := testImage(4, 8192) // 32 MiB
	first, _ := n.commit(s, artifacts.Full, epoch, image, "")
	_, sent := n.commit(s, artifacts.Full, epoch.Add(time.Second), image, first.ID)
	if sent > 64<<10 {
		t.Errorf("an unchanged snapshot sent %d bytes, want at most 64 KiB", sent)
	}
	t.Logf("unchanged: %d bytes", sent)

	// One page more in the front, and one per cent of it changed.
	pages := image[artifacts.PartPages]
	changed := append(bytes.Repeat([]byte{7}, 4096), pages...)
	rng := rand.NewChaCha8([32]byte{99})
	rng.Read(changed[10<<20:][:len(changed)/100])
	image[artifacts.PartPages] = changed
	_, sent = n.commit(s, artifacts.Full, epoch.Add(2*time.Second), image, first.ID)
	if max := int64(len(changed) * 3 / 100); sent > max {
		t.Errorf("a change of 1 %% sent %d bytes, want at most %d", sent, max)
	}
	t.Logf("1 %% changed: %d bytes of %d", sent, len(changed))
}

func TestSealUsesRecipesAndMakesThem(t *testing.T) {
	n := newNode(t)
	image := testImage(5, 500)
	d := n.draft(artifacts.NewID(epoch), image)
	made, err := Seal(t.Context(), d.Dir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Seal(t.Context(), d.Dir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, again); diff != "" {
		t.Errorf("sealing twice (-first +second):\n%s", diff)
	}
	m := manifest(d.ID(), artifacts.Full)
	m.Parts = made
	snap, err := d.Publish(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyLocal(t.Context(), snap.Dir, nil); err != nil {
		t.Errorf("verify: %v", err)
	}
}
