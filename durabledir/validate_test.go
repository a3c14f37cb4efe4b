// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestValidateComparesMountPaths(t *testing.T) {
	bind := func(to string) specs.Mount { return specs.Mount{Destination: to, Type: "bind", Source: "/host"} }
	one, two := 1, 2
	for _, test := range []struct {
		name   string
		decls  []Declaration
		mounts []specs.Mount
		want   string // "" means legal
	}{
		{"one volume", []Declaration{{Name: "a", MountPath: "/a"}}, []specs.Mount{bind("/b"), bind("/aa")}, ""},
		{"neighbours with one prefix", []Declaration{{Name: "a", MountPath: "/a"}, {Name: "b", MountPath: "/ab"}}, nil, ""},
		{"one volume twice", []Declaration{{Name: "a", MountPath: "/a"}, {Name: "a", MountPath: "/b", ReadOnly: true}}, nil, ""},
		{"one path in two containers", []Declaration{
			{Name: "a", MountPath: "/a", Container: "x"}, {Name: "b", MountPath: "/a", Container: "y"}}, nil, ""},
		{"the same path", []Declaration{{Name: "a", MountPath: "/a"}, {Name: "b", MountPath: "/a"}}, nil,
			`durable-dirs[1].mountPath: "/a" is taken by volume "a"`},
		{"the same path for all and one", []Declaration{{Name: "a", MountPath: "/a"}, {Name: "b", MountPath: "/a", Container: "x"}}, nil,
			`durable-dirs[1].mountPath: "/a" is taken by volume "a"`},
		{"inside an earlier one", []Declaration{{Name: "a", MountPath: "/a"}, {Name: "b", MountPath: "/a/b"}}, nil,
			`durable-dirs[1].mountPath: "/a/b" is inside "/a" of volume "a"`},
		{"around an earlier one", []Declaration{{Name: "a", MountPath: "/a/b"}, {Name: "b", MountPath: "/a"}}, nil,
			`durable-dirs[1].mountPath: "/a" contains "/a/b" of volume "a"`},
		{"two owners of one volume", []Declaration{
			{Name: "a", MountPath: "/a", UID: &one}, {Name: "a", MountPath: "/b", UID: &two}}, nil,
			`durable-dirs[1].uid: must be what the first declaration of volume "a" says`},
		{"two groups of one volume", []Declaration{
			{Name: "a", MountPath: "/a", GID: &one}, {Name: "a", MountPath: "/b"}}, nil,
			`durable-dirs[1].gid: must be what the first declaration of volume "a" says`},
		{"two modes of one volume", []Declaration{
			{Name: "a", MountPath: "/a", Mode: "700"}, {Name: "a", MountPath: "/b"}}, nil,
			`durable-dirs[1].mode: must be what the first declaration of volume "a" says`},
		{"two sizes of one volume", []Declaration{
			{Name: "a", MountPath: "/a", SizeLimit: 1}, {Name: "a", MountPath: "/b"}}, nil,
			`durable-dirs[1].sizeLimit: must be what the first declaration of volume "a" says`},
		{"a bind mount to take over", []Declaration{{Name: "a", MountPath: "/a"}}, []specs.Mount{bind("/a/")}, ""},
		{"a bind mount by its option", []Declaration{{Name: "a", MountPath: "/a"}},
			[]specs.Mount{{Destination: "/a", Options: []string{"rbind", "rw"}}}, ""},
		{"a tmpfs at the path", []Declaration{{Name: "a", MountPath: "/a"}}, []specs.Mount{{Destination: "/a", Type: "tmpfs"}},
			`durable-dirs[0].mountPath: "/a" is a tmpfs mount of the container; only a bind mount can be taken over`},
		{"inside a mount", []Declaration{{Name: "a", MountPath: "/a/b"}}, []specs.Mount{bind("/a")},
			`durable-dirs[0].mountPath: "/a/b" is inside the container's mount "/a"`},
		{"around a mount", []Declaration{{Name: "a", MountPath: "/etc"}}, []specs.Mount{bind("/etc/hosts")},
			`durable-dirs[0].mountPath: "/etc" contains the container's mount "/etc/hosts"`},
		{"the rootfs as a mount", []Declaration{{Name: "a", MountPath: "/a"}}, []specs.Mount{bind("/")}, ""},
		{"a bad declaration", []Declaration{{Name: "a", MountPath: "a"}}, nil,
			`durable-dirs[0].mountPath: must be absolute, got "a"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := Validate(test.decls, test.mounts); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("error %q, want %q", got, test.want)
			}
		})
	}
}

func TestForContainerTakesItsOwnAndTheShared(t *testing.T) {
	decls := []Declaration{{Name: "all"}, {Name: "db", Container: "db"}, {Name: "web", Container: "web"}}
	want := []Declaration{decls[0], decls[2]}
	if diff := cmp.Diff(want, ForContainer(decls, "web")); diff != "" {
		t.Errorf("ForContainer (-want +got):\n%s", diff)
	}
}
