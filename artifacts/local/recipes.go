// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
)

// WriteRecipe writes the recipe of a part into the draft in dir: whole or not
// at all, but not yet durable.
func WriteRecipe(dir, part string, r *artifacts.Recipe) error {
	path := RecipePath(dir, part)
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return fmt.Errorf("write recipe of part %q: %w", part, err)
	}
	temp := path + ".tmp"
	err := os.WriteFile(temp, artifacts.EncodeRecipe(r), fileMode)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("write recipe of part %q: %w", part, err)
	}
	return nil
}

// ReadRecipe reads the recipe of a part from the snapshot or draft in dir. The
// error is ErrNotFound where there is none and ErrDataLoss for one that cannot be decoded.
// The caller compares its Root with what the manifest says.
func ReadRecipe(dir, part string) (*artifacts.Recipe, error) {
	path := RecipePath(dir, part)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read recipe of part %q: %s does not exist: %w", part, path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read recipe of part %q: %w", part, err)
	}
	defer f.Close()
	r, err := artifacts.DecodeRecipe(f)
	if err != nil {
		return nil, fmt.Errorf("read recipe %s: %w: %v", path, errdefs.ErrDataLoss, err)
	}
	return r, nil
}
