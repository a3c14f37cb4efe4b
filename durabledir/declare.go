// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/containerd/errdefs"
)

// Annotation is the key whose value Parse reads.
const Annotation = "ateom.dev/durable-dirs"

// A Declaration asks for one mount of one DurableDir. Several declarations may
// share a Name: then one volume appears at several places, and what they say
// of its ownership and size must agree.
type Declaration struct {
	// Name of the volume, a DNS label.
	Name string `json:"name"`
	// MountPath is absolute, clean and not "/".
	MountPath string `json:"mountPath"`
	// Container is the name of the one container that sees the volume; empty
	// means every container of the sandbox.
	Container string `json:"container,omitempty"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
	// UID and GID own the volume's directory when it is made; nil means 0.
	UID *int `json:"uid,omitempty"`
	GID *int `json:"gid,omitempty"`
	// Mode of the volume's directory when it is made, in octal digits; empty
	// means DefaultMode.
	Mode string `json:"mode,omitempty"`
	// SizeLimit in bytes; 0 means none.
	SizeLimit Size `json:"sizeLimit,omitempty"`
}

// A FieldError says which field of a declaration is wrong, and how. It is an
// errdefs.ErrInvalidArgument.
type FieldError struct {
	Field   string // as in "durable-dirs[1].mountPath"
	Problem string // as in `must be absolute, got "x"`
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Unwrap makes errors.Is(err, errdefs.ErrInvalidArgument) true.
func (e *FieldError) Unwrap() error { return errdefs.ErrInvalidArgument }

// maxAnnotation bounds what Parse looks at; Kubernetes allows 256 KiB for all
// annotations of an object together.
const maxAnnotation = 256 << 10

// Parse reads the value of the annotation: a JSON list of declarations. It
// takes no unknown, repeated or differently spelled field. Every error is a
// *FieldError. It checks each declaration alone; Validate compares them.
func Parse(annotation string) ([]Declaration, error) {
	if annotation == "" {
		return nil, nil
	}
	if len(annotation) > maxAnnotation {
		return nil, fieldf("durable-dirs", "must be at most %d bytes, got %d", maxAnnotation, len(annotation))
	}
	if !utf8.ValidString(annotation) {
		return nil, fieldf("durable-dirs", "must be UTF-8")
	}
	var items []json.RawMessage
	dec := json.NewDecoder(bytes.NewReader([]byte(annotation)))
	if err := dec.Decode(&items); err != nil {
		return nil, fieldf("durable-dirs", "must be a JSON list of objects: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fieldf("durable-dirs", "must be one JSON list, got more after it")
	}
	decls := make([]Declaration, len(items))
	for i, item := range items {
		at := fmt.Sprintf("durable-dirs[%d]", i)
		if err := decls[i].decode(at, item); err != nil {
			return nil, err
		}
		if err := decls[i].check(at); err != nil {
			return nil, err
		}
	}
	return decls, nil
}

// decode reads one object by hand: encoding/json would take fields in any
// case of letters, and the last of two equal ones.
func (d *Declaration) decode(at string, item json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(item))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fieldf(at, "must be an object, got %s", item)
	}
	fields := map[string]any{
		"name": &d.Name, "mountPath": &d.MountPath, "container": &d.Container, "readOnly": &d.ReadOnly,
		"uid": &d.UID, "gid": &d.GID, "mode": &d.Mode, "sizeLimit": &d.SizeLimit,
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fieldf(at, "must be an object: %v", err)
		}
		key := t.(string) // a key of an object that was parsed once already
		field, ok := fields[key]
		switch {
		case !ok:
			return fieldf(at+"."+key, "unknown field")
		case field == nil:
			return fieldf(at+"."+key, "must occur once")
		}
		fields[key] = nil
		if err := decodeValue(dec, field); err != nil {
			return fieldf(at+"."+key, "%v", err)
		}
	}
	return nil
}

// decodeValue decodes the next value of dec, which may not be null.
func decodeValue(dec *json.Decoder, into any) error {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return err
	}
	if string(raw) == "null" {
		return errors.New("must not be null")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf("must be a %s, got %s", kind.Type, raw)
		}
		return err
	}
	return nil
}

func fieldf(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
