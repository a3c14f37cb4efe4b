// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"path"
	"strconv"
	"strings"
)

const (
	// DefaultMode is the mode of a volume's directory where a declaration
	// names none: like an emptyDir, writable for any user of the sandbox.
	DefaultMode = 0o777

	maxPath = 4096      // PATH_MAX of Linux, the closing NUL included
	maxName = 255       // NAME_MAX of Linux
	maxID   = 1<<32 - 2 // 2^32-1 means "leave as it is" to chown(2)
)

// check looks at one declaration alone; at is its name in messages.
func (d *Declaration) check(at string) error {
	if d.Name == "" {
		return fieldf(at+".name", "must be set")
	}
	if !isDNSLabel(d.Name) {
		return fieldf(at+".name", "must be a DNS label (a-z, 0-9 and inner '-', at most 63), got %q", d.Name)
	}
	if err := checkMountPath(at+".mountPath", d.MountPath); err != nil {
		return err
	}
	if strings.ContainsRune(d.Container, 0) {
		return fieldf(at+".container", "must not contain NUL, got %q", d.Container)
	}
	for _, id := range []struct {
		field string
		value *int
	}{{"uid", d.UID}, {"gid", d.GID}} {
		if id.value != nil && (*id.value < 0 || *id.value > maxID) {
			return fieldf(at+"."+id.field, "must be 0 to %d, got %d", maxID, *id.value)
		}
	}
	if _, err := d.mode(); err != nil {
		return fieldf(at+".mode", "must be octal digits up to 7777, got %q", d.Mode)
	}
	if d.SizeLimit < 0 {
		return fieldf(at+".sizeLimit", "must not be negative, got %d", d.SizeLimit)
	}
	return nil
}

// mode returns the permission bits of the volume's directory, setuid, setgid
// and sticky included, as chmod(2) takes them.
func (d *Declaration) mode() (uint32, error) {
	if d.Mode == "" {
		return DefaultMode, nil
	}
	m, err := strconv.ParseUint(d.Mode, 8, 12)
	return uint32(m), err
}

func checkMountPath(field, p string) error {
	switch {
	case p == "":
		return fieldf(field, "must be set")
	case strings.ContainsRune(p, 0):
		return fieldf(field, "must not contain NUL, got %q", p)
	case !path.IsAbs(p):
		return fieldf(field, "must be absolute, got %q", p)
	case path.Clean(p) != p:
		return fieldf(field, "must be clean, got %q, want %q", p, path.Clean(p))
	case p == "/":
		return fieldf(field, `must not be "/"`)
	case len(p) >= maxPath:
		return fieldf(field, "must be shorter than %d bytes, got %d", maxPath, len(p))
	}
	for name := range strings.SplitSeq(p[1:], "/") {
		if len(name) > maxName {
			return fieldf(field, "must have names of at most %d bytes, got one of %d", maxName, len(name))
		}
	}
	for _, reserved := range []string{"/proc", "/sys", "/dev"} {
		if within(p, reserved) {
			return fieldf(field, "must not be in %s, got %q", reserved, p)
		}
	}
	return nil
}

// within reports whether p is dir or lies beneath it. Both are clean and absolute.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

func isDNSLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
