// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/artifacts/transfer"
)

// Snapshots are the ids of those that FillStores makes, in the order of their age.
type Snapshots struct {
	// Full and Data are in the bucket, Full in the local store too.
	Full, Data artifacts.ID
	// Local is in the local store only.
	Local artifacts.ID
}

// Made is what FillStores makes. Their times are in the ids.
var Made = Snapshots{
	Full:  "01jd0000010000000000000000",
	Data:  "01jd0000020000000000000000",
	Local: "01jd0000030000000000000000",
}

// FillStores puts real snapshots into the store in the directory bucketDir and
// the local store in stateDir. scratch is a directory for its own use.
func FillStores(ctx context.Context, bucketDir, stateDir, scratch string) (Snapshots, error) {
	volume := filepath.Join(scratch, "home")
	if err := firstFiles(volume); err != nil {
		return Made, fmt.Errorf("fill stores: %w", err)
	}
	store, err := bucket.Open(ctx, "file://"+bucketDir)
	if err != nil {
		return Made, err
	}
	defer store.Close()
	drafts, err := local.Open(scratch)
	if err != nil {
		return Made, err
	}
	volumes := []job.Volume{{Name: "home", Path: volume}}
	if err := commit(ctx, store, drafts, manifest(Made.Full, artifacts.Full, ""), volumes); err != nil {
		return Made, err
	}
	if err := laterFiles(volume); err != nil {
		return Made, fmt.Errorf("fill stores: %w", err)
	}
	if err := commit(ctx, store, drafts, manifest(Made.Data, artifacts.Data, Made.Full), volumes); err != nil {
		return Made, err
	}
	node, err := local.Open(stateDir)
	if err != nil {
		return Made, err
	}
	for _, id := range []artifacts.ID{Made.Full, Made.Local} {
		if err := publish(ctx, node, manifest(id, artifacts.Full, "")); err != nil {
			return Made, err
		}
	}
	return Made, nil
}

// BigID is the snapshot that FillBig makes. Its time is in the id.
const BigID artifacts.ID = "01jd0000040000000000000000"

// FillBig puts a Data snapshot into a store: its one DurableDir, "big", has
// eight files of 9 MiB of noise and, behind them in the archive, small/notes. It
// is too large for one plain object. scratch is a directory for its own use.
func FillBig(ctx context.Context, store bucket.Store, scratch string) error {
	volume := filepath.Join(scratch, "big")
	if err := os.MkdirAll(filepath.Join(volume, "small"), 0o755); err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{1})
	for i := range 8 {
		content := make([]byte, 9<<20)
		noise.Read(content)
		if err := os.WriteFile(filepath.Join(volume, fmt.Sprintf("noise-%d", i)), content, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(volume, "small", "notes"), []byte("call home\n"), 0o644); err != nil {
		return err
	}
	drafts, err := local.Open(filepath.Join(scratch, "drafts"))
	if err != nil {
		return err
	}
	return commit(ctx, store, drafts, manifest(BigID, artifacts.Data, ""), []job.Volume{{Name: "big", Path: volume}})
}

// firstFiles makes the DurableDir as the Full snapshot has it.
func firstFiles(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "notes"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"notes/today.txt": "forget the milk\n", "counter": "42\n", "old": "old\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Link(filepath.Join(dir, "counter"), filepath.Join(dir, "again"))
}

// laterFiles makes of it what the Data snapshot has.
func laterFiles(dir string) error {
	for name, text := range map[string]string{"notes/today.txt": "remember the milk\n", "zz": "new\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(dir, "old"))
}

func commit(ctx context.Context, store bucket.Store, drafts *local.Store, m *artifacts.Manifest, volumes []job.Volume) error {
	d, err := draft(drafts, m)
	if err != nil {
		return err
	}
	defer d.Abort()
	c, _, err := transfer.NewCommit(ctx, store, &job.Request{Dir: d.Dir(), ID: m.ID, Scope: m.Scope, Volumes: volumes})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Capture(ctx, ""); err != nil {
		return err
	}
	_, err = c.Upload(ctx, m, nil)
	return err
}

func publish(ctx context.Context, node *local.Store, m *artifacts.Manifest) error {
	d, err := draft(node, m)
	if err != nil {
		return err
	}
	if m.Parts, err = transfer.Seal(ctx, d.Dir(), nil); err != nil {
		return err
	}
	_, err = d.Publish(m)
	return err
}

// draft makes a draft with an image of 1 MiB, a quarter of it zeros.
func draft(store *local.Store, m *artifacts.Manifest) (*local.Draft, error) {
	d, err := store.NewDraft(m.ID)
	if err != nil || m.Scope != artifacts.Full {
		return d, err
	}
	pages := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(pages[:3<<18])
	for part, data := range map[string][]byte{
		artifacts.PartKernel: bytes.Repeat([]byte("kernel"), 1000), artifacts.PartPagesMeta: []byte("ranges"), artifacts.PartPages: pages,
	} {
		path, err := local.ImagePath(d.Dir(), part)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// manifest returns one without parts; the name in it means to do harm on a terminal.
func manifest(id artifacts.ID, scope artifacts.Scope, parent artifacts.ID) *artifacts.Manifest {
	m := &artifacts.Manifest{
		Format: artifacts.FormatVersion, ID: id, Parent: parent, Created: id.Time().UTC(), Scope: scope,
		Sandbox: artifacts.Sandbox{ID: "web", Namespace: "default", Containers: []artifacts.Container{
			{ID: "web", Image: "app:1", ImageDigest: ImageDigest, Args: []string{"python3", "-c", "print('hi there')", "\x1b[2J"}},
		}},
	}
	if scope == artifacts.Full {
		m.Runtime = &artifacts.Runtime{Name: "runsc", Version: "release-1", SHA256: "00ff"}
		m.Machine = &artifacts.Machine{Arch: "amd64", PageSize: 4096}
	}
	return m
}
