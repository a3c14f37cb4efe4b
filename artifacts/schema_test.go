// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A schema is what the test needs of JSON Schema.
type schema struct {
	Ref        string             `json:"$ref"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Defs       map[string]*schema `json:"$defs"`
	Required   []string           `json:"required"`
}

// TestSchemaHasTheFieldsOfTheManifest compares the published schema with the types.
func TestSchemaHasTheFieldsOfTheManifest(t *testing.T) {
	data, err := os.ReadFile("../docs/snapshot.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	manifest := root
	manifest.Properties = maps.Clone(root.Properties)
	if manifest.Properties[checksumField] == nil || !slices.Contains(root.Required, checksumField) {
		t.Error("the schema has no checksum")
	}
	delete(manifest.Properties, checksumField)
	manifest.Required = slices.DeleteFunc(slices.Clone(root.Required), func(s string) bool { return s == checksumField })
	compare(t, "manifest", &manifest, reflect.TypeFor[Manifest](), &root)
}

func compare(t *testing.T, where string, s *schema, typ reflect.Type, root *schema) {
	t.Helper()
	var fields, required []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		fields = append(fields, name)
		if options == "" {
			required = append(required, name)
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		next := s.Properties[name]
		if next != nil && next.Items != nil {
			next = next.Items
		}
		if next != nil && next.Ref != "" {
			next = root.Defs[strings.TrimPrefix(next.Ref, "#/$defs/")]
		}
		if next != nil && next.Properties != nil {
			compare(t, where+"."+name, next, inner, root)
		}
	}
	slices.Sort(fields)
	slices.Sort(required)
	if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(s.Properties))); diff != "" {
		t.Errorf("fields of %s (-type +schema):\n%s", where, diff)
	}
	have := slices.Sorted(slices.Values(s.Required))
	if diff := cmp.Diff(required, have); diff != "" {
		t.Errorf("required fields of %s (-type +schema):\n%s", where, diff)
	}
}
