// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of objects and arrays. Version 1 needs four.
const maxDepth = 16

// maxComposites bounds objects, arrays and nulls: each may become a struct of
// hundreds of bytes from two or four. Version 1 needs some three thousand, for
// as many parts and containers as it allows.
const maxComposites = 1 << 14

// checkJSON reads data token by token, without building anything but the key
// sets of the open objects. It refuses what encoding/json would silently take:
// keys that occur twice (also in different case), trailing values, bytes that
// are not UTF-8, deep nesting, a flood of small values.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	composites := 0
	if err := checkValue(dec, 0, &composites); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// checkValue consumes one value and counts what it is made of.
func checkValue(dec *json.Decoder, depth int, composites *int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	delim, ok := tok.(json.Delim)
	if ok || tok == nil {
		if *composites++; *composites > maxComposites {
			return fmt.Errorf("more than %d objects, arrays and nulls", maxComposites)
		}
	}
	if !ok {
		return nil
	}
	keys := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return fmt.Errorf("not JSON: %w", err)
			}
			folded := strings.ToLower(key.(string))
			if keys[folded] {
				return fmt.Errorf("key %q occurs twice", key)
			}
			keys[folded] = true
		}
		if err := checkValue(dec, depth+1, composites); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

// Extra holds fields of a later minor version, by key, as they were read.
type Extra map[string]json.RawMessage

// unmarshalKeeping decodes data into plain, a pointer to a struct, and returns
// the fields that plain does not have.
func unmarshalKeeping(data []byte, plain any) (Extra, error) {
	if err := json.Unmarshal(data, plain); err != nil {
		return nil, err
	}
	var all Extra
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	t := reflect.TypeOf(plain).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		delete(all, name)
		for key := range all {
			if strings.EqualFold(key, name) {
				return nil, fmt.Errorf("key %q is not spelled %q", key, name)
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// marshalKeeping encodes plain, a struct, and puts extra's fields behind its
// own in the order of their keys.
func marshalKeeping(plain any, extra Extra) ([]byte, error) {
	data, err := json.Marshal(plain)
	if err != nil || len(extra) == 0 {
		return data, err
	}
	out := bytes.NewBuffer(data[:len(data)-1])
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(extra[key])
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// The types below have the fields of the manifest's types without their
// methods. Each type keeps its own unknown fields.
type (
	plainManifest  Manifest
	plainSandbox   Sandbox
	plainContainer Container
	plainPod       Pod
	plainRuntime   Runtime
	plainMachine   Machine
	plainPart      Part
)

// UnmarshalJSON implements json.Unmarshaler, and MarshalJSON json.Marshaler,
// for all types of a manifest: unknown fields go to Extra and come back.
func (m *Manifest) UnmarshalJSON(data []byte) (err error) {
	m.Extra, err = unmarshalKeeping(data, (*plainManifest)(m))
	return err
}

// MarshalJSON implements json.Marshaler.
func (m Manifest) MarshalJSON() ([]byte, error) { return marshalKeeping(plainManifest(m), m.Extra) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Sandbox) UnmarshalJSON(data []byte) (err error) {
	s.Extra, err = unmarshalKeeping(data, (*plainSandbox)(s))
	return err
}

// MarshalJSON implements json.Marshaler.
func (s Sandbox) MarshalJSON() ([]byte, error) { return marshalKeeping(plainSandbox(s), s.Extra) }

// UnmarshalJSON implements json.Unmarshaler.
func (c *Container) UnmarshalJSON(data []byte) (err error) {
	c.Extra, err = unmarshalKeeping(data, (*plainContainer)(c))
	return err
}

// MarshalJSON implements json.Marshaler.
func (c Container) MarshalJSON() ([]byte, error) { return marshalKeeping(plainContainer(c), c.Extra) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Pod) UnmarshalJSON(data []byte) (err error) {
	p.Extra, err = unmarshalKeeping(data, (*plainPod)(p))
	return err
}

// MarshalJSON implements json.Marshaler.
func (p Pod) MarshalJSON() ([]byte, error) { return marshalKeeping(plainPod(p), p.Extra) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Runtime) UnmarshalJSON(data []byte) (err error) {
	r.Extra, err = unmarshalKeeping(data, (*plainRuntime)(r))
	return err
}

// MarshalJSON implements json.Marshaler.
func (r Runtime) MarshalJSON() ([]byte, error) { return marshalKeeping(plainRuntime(r), r.Extra) }

// UnmarshalJSON implements json.Unmarshaler.
func (m *Machine) UnmarshalJSON(data []byte) (err error) {
	m.Extra, err = unmarshalKeeping(data, (*plainMachine)(m))
	return err
}

// MarshalJSON implements json.Marshaler.
func (m Machine) MarshalJSON() ([]byte, error) { return marshalKeeping(plainMachine(m), m.Extra) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Part) UnmarshalJSON(data []byte) (err error) {
	p.Extra, err = unmarshalKeeping(data, (*plainPart)(p))
	return err
}

// MarshalJSON implements json.Marshaler.
func (p Part) MarshalJSON() ([]byte, error) { return marshalKeeping(plainPart(p), p.Extra) }
