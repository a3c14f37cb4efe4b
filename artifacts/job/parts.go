// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// PartsDir is where in a draft a Save leaves the description of each part that
// it has completed and synced: one artifacts.Part in a file named after it.
const PartsDir = "parts"

// PartFile returns the path, relative to a draft, of the description of part.
func PartFile(part string) string { return filepath.Join(PartsDir, part+".json") }

// TakeParts returns the descriptions of the given parts that a Save has left in
// the draft in dir, and removes them: they belong into the manifest now. The
// error is ErrDataLoss, and nothing is removed, if one is missing: that part is
// not whole.
func TakeParts(dir string, parts ...string) ([]artifacts.Part, error) {
	var all []artifacts.Part
	for _, name := range parts {
		part, err := ReadPart(dir, name)
		if err != nil {
			return nil, err
		}
		all = append(all, part)
	}
	if err := os.RemoveAll(filepath.Join(dir, PartsDir)); err != nil {
		return nil, fmt.Errorf("remove part descriptions: %w", err)
	}
	return all, nil
}

// ReadPart returns the description of one part in the draft in dir.
func ReadPart(dir, name string) (artifacts.Part, error) {
	body, err := os.ReadFile(filepath.Join(dir, PartFile(name)))
	if os.IsNotExist(err) {
		return artifacts.Part{}, fmt.Errorf("read description of part %s: the save did not complete it: %w", name, errdefs.ErrDataLoss)
	}
	if err != nil {
		return artifacts.Part{}, fmt.Errorf("read description of part %s: %w", name, err)
	}
	var part artifacts.Part
	if err := json.Unmarshal(body, &part); err != nil {
		return artifacts.Part{}, fmt.Errorf("parse description of part %s: %w: %w", name, err, errdefs.ErrDataLoss)
	}
	if part.Name != name {
		return artifacts.Part{}, fmt.Errorf("parse description of part %s: it is of part %q: %w", name, part.Name, errdefs.ErrDataLoss)
	}
	return part, nil
}
