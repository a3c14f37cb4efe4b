// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"fmt"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// ForContainer returns those of decls that the named container sees.
func ForContainer(decls []Declaration, container string) []Declaration {
	var seen []Declaration
	for _, d := range decls {
		if d.Container == "" || d.Container == container {
			seen = append(seen, d)
		}
	}
	return seen
}

// Validate compares declarations with each other and with the OCI mounts of
// the container that they are for. Mount paths may neither be the same nor lie
// inside each other. A bind mount exactly at a declared path is taken over, so
// it is legal; what lies beneath or above it is not. mounts may be nil. Every
// error is a *FieldError.
func Validate(decls []Declaration, mounts []specs.Mount) error {
	for i := range decls {
		at := fmt.Sprintf("durable-dirs[%d]", i)
		if err := decls[i].check(at); err != nil {
			return err
		}
		for j := range decls[:i] {
			if err := compare(at, &decls[i], &decls[j]); err != nil {
				return err
			}
		}
		for _, m := range mounts {
			if err := compareMount(at, &decls[i], m); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare checks the declaration d, called at, against an earlier one.
func compare(at string, d, earlier *Declaration) error {
	if d.Name == earlier.Name {
		if err := compareVolume(at, d, earlier); err != nil {
			return err
		}
	}
	if d.Container != "" && earlier.Container != "" && d.Container != earlier.Container {
		return nil // no container sees both
	}
	switch p, q := d.MountPath, earlier.MountPath; {
	case p == q:
		return fieldf(at+".mountPath", "%q is taken by volume %q", p, earlier.Name)
	case within(p, q):
		return fieldf(at+".mountPath", "%q is inside %q of volume %q", p, q, earlier.Name)
	case within(q, p):
		return fieldf(at+".mountPath", "%q contains %q of volume %q", p, q, earlier.Name)
	}
	return nil
}

// compareVolume checks that two declarations of one volume describe the same directory.
func compareVolume(at string, d, earlier *Declaration) error {
	differs := func(field string) error {
		return fieldf(at+"."+field, "must be what the first declaration of volume %q says", d.Name)
	}
	same := func(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }
	switch {
	case !same(d.UID, earlier.UID):
		return differs("uid")
	case !same(d.GID, earlier.GID):
		return differs("gid")
	case d.Mode != earlier.Mode:
		return differs("mode")
	case d.SizeLimit != earlier.SizeLimit:
		return differs("sizeLimit")
	}
	return nil
}

func compareMount(at string, d *Declaration, m specs.Mount) error {
	to := path.Clean("/" + m.Destination)
	switch p := d.MountPath; {
	case to == "/":
		return nil // the rootfs is under everything
	case to == p && !isBind(m):
		return fieldf(at+".mountPath", "%q is a %s mount of the container; only a bind mount can be taken over", p, m.Type)
	case to == p:
		return nil
	case within(p, to):
		return fieldf(at+".mountPath", "%q is inside the container's mount %q", p, to)
	case within(to, p):
		return fieldf(at+".mountPath", "%q contains the container's mount %q", p, to)
	}
	return nil
}

// isBind knows a bind mount as runtimes do: by its type or its options.
func isBind(m specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}
