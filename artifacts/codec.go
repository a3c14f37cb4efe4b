// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
)

// MaxManifestSize bounds an encoded manifest, in bytes. A reader refuses more
// before it parses anything.
const MaxManifestSize = 1 << 20

// EncodeManifest returns m as it is stored: indented JSON in the order of the
// fields, one newline at the end. The same manifest gives the same bytes.
// Fields of a later minor version that DecodeManifest met are written again.
// The error is ErrInvalidArgument for a manifest that no reader would accept.
func EncodeManifest(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	compact, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest of snapshot %s: %w", m.ID, err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("encode manifest of snapshot %s: %w", m.ID, err)
	}
	out.WriteByte('\n')
	if out.Len() > MaxManifestSize {
		return nil, fmt.Errorf("encode manifest of snapshot %s: %d bytes, at most %d are allowed: %w",
			m.ID, out.Len(), MaxManifestSize, errdefs.ErrInvalidArgument)
	}
	return out.Bytes(), nil
}

// DecodeManifest reads a stored manifest and validates it. It refuses more
// than MaxManifestSize bytes, anything after the JSON value, a key that occurs
// twice or differs from a known one in case only, deep nesting, an unknown
// major version and everything that Validate refuses. Every error of it is
// ErrInvalidArgument, but for ErrNotImplemented on an unknown major version.
func DecodeManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifestSize {
		return nil, fmt.Errorf("decode manifest: %d bytes, at most %d are allowed: %w",
			len(data), MaxManifestSize, errdefs.ErrInvalidArgument)
	}
	if err := checkJSON(data); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err := checkFormat(head.Format); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	return m, nil
}
