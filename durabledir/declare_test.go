// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestParseReadsEveryField(t *testing.T) {
	got, err := Parse(`[
		{"name":"home","mountPath":"/home/agent"},
		{"name":"data-2","mountPath":"/srv/my data\t/..config/x..y/d\u00e4ta","container":"db","readOnly":true,
		 "uid":1000,"gid":0,"mode":"1770","sizeLimit":"2Gi"},
		{"name":"n","mountPath":"/n","sizeLimit":4096}
	]`)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := 1000, 0
	want := []Declaration{
		{Name: "home", MountPath: "/home/agent"},
		{Name: "data-2", MountPath: "/srv/my data\t/..config/x..y/däta", Container: "db", ReadOnly: true,
			UID: &uid, GID: &gid, Mode: "1770", SizeLimit: 2 << 30},
		{Name: "n", MountPath: "/n", SizeLimit: 4096},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseOfNothingDeclaresNothing(t *testing.T) {
	for _, annotation := range []string{"", "[]"} {
		if got, err := Parse(annotation); err != nil || len(got) != 0 {
			t.Errorf("Parse(%q) = %v, %v; want nothing", annotation, got, err)
		}
	}
}

func TestParseNamesTheWrongField(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, test := range []struct{ name, annotation, want string }{
		{"no JSON", `home`, "durable-dirs: must be a JSON list of objects: "},
		{"an object", `{"name":"a"}`, "durable-dirs: must be a JSON list of objects: "},
		{"two values", `[] []`, "durable-dirs: must be one JSON list, got more after it"},
		{"not UTF-8", "[{\"name\":\"a\xff\"}]", "durable-dirs: must be UTF-8"},
		{"huge", `["` + strings.Repeat("x", maxAnnotation) + `"]`, "durable-dirs: must be at most 262144 bytes"},
		{"a list in it", `[[]]`, "durable-dirs[0]: must be an object, got []"},
		{"null in it", `[null]`, "durable-dirs[0]: must be an object, got null"},
		{"unknown field", `[{"path":"/x"}]`, "durable-dirs[0].path: unknown field"},
		{"field in capitals", `[{"Name":"a"}]`, "durable-dirs[0].Name: unknown field"},
		{"field twice", `[{"name":"a","name":"b"}]`, "durable-dirs[0].name: must occur once"},
		{"null field", `[{"name":"a","uid":null}]`, "durable-dirs[0].uid: must not be null"},
		{"name missing", `[{"mountPath":"/x"}]`, "durable-dirs[0].name: must be set"},
		{"name in capitals", `[{"name":"A"}]`, "durable-dirs[0].name: must be a DNS label"},
		{"name with a dot", `[{"name":"a.b"}]`, "durable-dirs[0].name: must be a DNS label"},
		{"name with a slash", `[{"name":"../x"}]`, "durable-dirs[0].name: must be a DNS label"},
		{"name with a dash first", `[{"name":"-a"}]`, "durable-dirs[0].name: must be a DNS label"},
		{"name too long", `[{"name":"` + long[:64] + `"}]`, "durable-dirs[0].name: must be a DNS label"},
		{"name a number", `[{"name":1}]`, "durable-dirs[0].name: must be a string, got 1"},
		{"path missing", `[{"name":"a"}]`, "durable-dirs[0].mountPath: must be set"},
		{"path relative", `[{"name":"a","mountPath":"/a"},{"name":"b","mountPath":"x"}]`,
			`durable-dirs[1].mountPath: must be absolute, got "x"`},
		{"path of dots", `[{"name":"a","mountPath":"/a/../b"}]`,
			`durable-dirs[0].mountPath: must be clean, got "/a/../b", want "/b"`},
		{"path with a slash last", `[{"name":"a","mountPath":"/a/"}]`, `durable-dirs[0].mountPath: must be clean`},
		{"path the root", `[{"name":"a","mountPath":"/"}]`, `durable-dirs[0].mountPath: must not be "/"`},
		{"path with NUL", `[{"name":"a","mountPath":"/a\u0000"}]`, `durable-dirs[0].mountPath: must not contain NUL`},
		{"path too long", `[{"name":"a","mountPath":"` + strings.Repeat("/abcdefg", 512) + `"}]`,
			"durable-dirs[0].mountPath: must be shorter than 4096 bytes, got 4096"},
		{"path with a long name", `[{"name":"a","mountPath":"/` + long + `"}]`,
			"durable-dirs[0].mountPath: must have names of at most 255 bytes, got one of 256"},
		{"path in proc", `[{"name":"a","mountPath":"/proc"}]`, "durable-dirs[0].mountPath: must not be in /proc"},
		{"path in sys", `[{"name":"a","mountPath":"/sys/fs"}]`, "durable-dirs[0].mountPath: must not be in /sys"},
		{"path in dev", `[{"name":"a","mountPath":"/dev/shm"}]`, "durable-dirs[0].mountPath: must not be in /dev"},
		{"container with NUL", `[{"name":"a","mountPath":"/a","container":"\u0000"}]`, "durable-dirs[0].container: must not contain NUL"},
		{"uid negative", `[{"name":"a","mountPath":"/a","uid":-1}]`, "durable-dirs[0].uid: must be 0 to 4294967294, got -1"},
		{"gid too large", `[{"name":"a","mountPath":"/a","gid":4294967295}]`, "durable-dirs[0].gid: must be 0 to 4294967294"},
		{"uid a fraction", `[{"name":"a","mountPath":"/a","uid":1.5}]`, "durable-dirs[0].uid: must be a int, got 1.5"},
		{"mode a number", `[{"name":"a","mountPath":"/a","mode":755}]`, "durable-dirs[0].mode: must be a string, got 755"},
		{"mode not octal", `[{"name":"a","mountPath":"/a","mode":"0789"}]`, "durable-dirs[0].mode: must be octal digits up to 7777"},
		{"mode too large", `[{"name":"a","mountPath":"/a","mode":"10000"}]`, "durable-dirs[0].mode: must be octal digits up to 7777"},
		{"size negative", `[{"name":"a","mountPath":"/a","sizeLimit":-1}]`, "durable-dirs[0].sizeLimit: must be a number of bytes"},
		{"size in words", `[{"name":"a","mountPath":"/a","sizeLimit":"1 GB"}]`, "durable-dirs[0].sizeLimit: must be a number of bytes"},
		{"size too large", `[{"name":"a","mountPath":"/a","sizeLimit":"9000Pi"}]`, "durable-dirs[0].sizeLimit: must be a number of bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(test.annotation)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error %v, want one that starts with %q", err, test.want)
			}
			var field *FieldError
			if !errors.As(err, &field) || !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("error %#v, want a *FieldError that is ErrInvalidArgument", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`[{"name":"home","mountPath":"/home/agent","uid":1,"mode":"0700","sizeLimit":"1Ki"}]`)
	f.Add(`[{"name":"a","name":"b"}]`)
	f.Fuzz(func(t *testing.T, annotation string) {
		decls, err := Parse(annotation)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("error %v is not ErrInvalidArgument", err)
			}
			return
		}
		for i := range decls {
			if err := Validate(decls[i:i+1], nil); err != nil {
				t.Errorf("Parse accepts what Validate refuses: %v", err)
			}
		}
	})
}
