// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
)

// MaxManifestSize bounds an encoded manifest, in bytes. A reader refuses more
// before it parses anything.
const MaxManifestSize = 1 << 20

// EncodeManifest returns m as it is stored: indented JSON in the order of the
// fields, the checksum last, and a newline. The same manifest gives the same bytes.
// Fields of a later minor version that DecodeManifest met are written again.
// The error is ErrInvalidArgument for a manifest that no reader would accept.
func EncodeManifest(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if _, ok := m.Extra[checksumField]; ok {
		return nil, fmt.Errorf("encode manifest of snapshot %s: field %q is not for callers: %w", m.ID, checksumField, errdefs.ErrInvalidArgument)
	}
	object, err := indented(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest of snapshot %s: %w", m.ID, err)
	}
	data := seal(object)
	if len(data) > MaxManifestSize {
		return nil, fmt.Errorf("encode manifest of snapshot %s: %d bytes, at most %d are allowed: %w",
			m.ID, len(data), MaxManifestSize, errdefs.ErrInvalidArgument)
	}
	return data, nil
}

// indented returns m as an object without a checksum.
func indented(m *Manifest) ([]byte, error) {
	compact, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, compact, "", "  ")
	return out.Bytes(), err
}

// A stored manifest ends with sealStart, 64 hexadecimal digits and sealEnd.
// The digits are the SHA-256 of all its bytes with zeros in their place.
const (
	sealStart = ",\n  \"checksum\": \"" + digestPrefix
	sealEnd   = "\"\n}\n"
	sealSize  = len(sealStart) + 2*sha256.Size + len(sealEnd)
)

// seal takes an indented object and adds the checksum as its last field.
func seal(object []byte) []byte {
	data := append(bytes.TrimSuffix(object, []byte("\n}")), sealStart...)
	at := len(data)
	data = append(data, bytes.Repeat([]byte{'0'}, 2*sha256.Size)...)
	data = append(data, sealEnd...)
	sum := sha256.Sum256(data)
	hex.Encode(data[at:], sum[:])
	return data
}

// checkSeal compares a stored manifest with its checksum.
func checkSeal(data []byte) error {
	start := len(data) - sealSize
	if start < 0 || !bytes.HasPrefix(data[start:], []byte(sealStart)) || !bytes.HasSuffix(data, []byte(sealEnd)) {
		return fmt.Errorf("it does not end with its checksum: %w", errdefs.ErrInvalidArgument)
	}
	at := start + len(sealStart)
	digits := data[at : at+2*sha256.Size]
	h := sha256.New()
	h.Write(data[:at])
	h.Write(bytes.Repeat([]byte{'0'}, 2*sha256.Size))
	h.Write(data[at+2*sha256.Size:])
	if hex.EncodeToString(h.Sum(nil)) != string(digits) {
		return fmt.Errorf("its bytes do not match its checksum: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

// checksumField is the stored manifest's last field. It is about the bytes and no
// part of a Manifest.
const checksumField = "checksum"

// DecodeManifest reads a stored manifest and validates it. It refuses more
// than MaxManifestSize bytes, a checksum that does not match, anything after the JSON value, a key that occurs
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
	if err := checkSeal(data); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	delete(m.Extra, checksumField)
	if len(m.Extra) == 0 {
		m.Extra = nil
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	return m, nil
}
