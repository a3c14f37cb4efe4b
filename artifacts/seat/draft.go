// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"fmt"
	"os"
	"path"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// A draft is the directory that a save fills.
type draft struct {
	root *os.Root
	// scratch need not be durable, and not have what is known.
	scratch bool
	known   known
}

// openDraft opens dir and makes the directories in it that a save needs.
func openDraft(dir string, scratch bool) (*draft, error) {
	root, err := openPrivateRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open draft: %w", err)
	}
	d := &draft{root: root, scratch: scratch}
	if scratch {
		if d.known, err = openKnown(root); err != nil {
			root.Close()
			return nil, err
		}
	}
	dirs := []string{"image", "recipes", job.PartsDir}
	if d.summed() {
		dirs = append(dirs, job.SumsDir)
	}
	for _, sub := range dirs {
		if err := root.MkdirAll(sub, 0o700); err != nil {
			d.close()
			return nil, fmt.Errorf("make %s in draft: %w", sub, err)
		}
	}
	return d, nil
}

// openPrivateRoot opens dir if it is this user's and closed to others.
func openPrivateRoot(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err == nil {
		err = checkPrivate(self, unix.S_IFDIR)
		self.Close()
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	return root, nil
}

func (d *draft) close() {
	d.known.close()
	d.root.Close()
}

// create makes the image file name, which must not exist.
func (d *draft) create(name string) (*os.File, error) {
	f, err := d.root.OpenFile(path.Join("image", name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create image file: %w", err)
	}
	return f, nil
}

// summed reports whether a save sums the chunks and leaves it to the upload to
// hash them: the digest of a chunk decides nothing while there is no other one to
// compare it with.
func (d *draft) summed() bool { return d.scratch && d.known == nil }

// seal makes the finished image of part durable, unless it is scratch, so that a
// disk that fails to take it fails the save. Its recipe and, last, its description, which is what
// says that the part is whole, are small: publishing the draft syncs them.
func (d *draft) seal(part string, image *os.File, recipe *artifacts.Recipe) error {
	if err := d.finish(image, recipe.Size()); err != nil {
		return err
	}
	if err := d.root.WriteFile(path.Join("recipes", part), artifacts.EncodeRecipe(recipe), 0o600); err != nil {
		return fmt.Errorf("write recipe of part %s: %w", part, err)
	}
	return d.describe(part, recipe.Size(), recipe.Root())
}

// sealSums does the same with sums in the place of a recipe.
func (d *draft) sealSums(part string, image *os.File, sums []job.Sum) error {
	var size int64
	for _, s := range sums {
		size += int64(s.Length)
	}
	if err := d.finish(image, size); err != nil {
		return err
	}
	if err := d.root.WriteFile(job.SumsFile(part), job.EncodeSums(sums), 0o600); err != nil {
		return fmt.Errorf("write sums of part %s: %w", part, err)
	}
	return d.describe(part, size, artifacts.Digest{})
}

// finish gives an image its size and makes it durable, if it is to be.
func (d *draft) finish(image *os.File, size int64) error {
	if err := image.Truncate(size); err != nil {
		return fmt.Errorf("set size of %s: %w", image.Name(), err)
	}
	if d.scratch {
		return nil
	}
	if err := image.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", image.Name(), err)
	}
	return nil
}

// describe says that part is whole.
func (d *draft) describe(part string, size int64, digest artifacts.Digest) error {
	desc, err := json.Marshal(artifacts.Part{Name: part, Encoding: artifacts.Raw, Size: size, Digest: digest})
	if err != nil {
		return fmt.Errorf("describe part %s: %w: %w", part, err, errdefs.ErrInternal)
	}
	if err := d.root.WriteFile(job.PartFile(part), append(desc, '\n'), 0o600); err != nil {
		return fmt.Errorf("describe part %s: %w", part, err)
	}
	return nil
}
