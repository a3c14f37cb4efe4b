// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Bounds of what a manifest may claim. They are far above what a sandbox has
// and far below what hurts a reader.
const (
	MaxParts      = 512
	MaxContainers = 512
	// MaxPartSize bounds a part before encoding, in bytes.
	MaxPartSize = 1 << 44
	// MaxFiles bounds the entries of a volume.
	MaxFiles = 1 << 32
)

// volumeName is what a DurableDir may be called: a DNS label, so that it is a
// file name and a key segment as it is.
var volumeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckVolumeName refuses what cannot name a DurableDir. The error is ErrInvalidArgument.
func CheckVolumeName(name string) error {
	if !volumeName.MatchString(name) {
		return fmt.Errorf("check volume name %q: want 1 to 63 characters of a-z, 0-9 and '-', no '-' at the ends: %w",
			name, errdefs.ErrInvalidArgument)
	}
	return nil
}

// checkFormat refuses a major version other than this package's.
func checkFormat(format string) error {
	major, minor, ok := strings.Cut(format, ".")
	if !ok || !decimal(major) || !decimal(minor) {
		return fmt.Errorf("format %q: want \"major.minor\": %w", format, errdefs.ErrInvalidArgument)
	}
	if want, _, _ := strings.Cut(FormatVersion, "."); major != want {
		return fmt.Errorf("format %q: this program reads version %s.x, use one that knows version %s: %w",
			format, want, major, errdefs.ErrNotImplemented)
	}
	return nil
}

// decimal tells whether s is a small number without sign or leading zero.
func decimal(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// Validate refuses a manifest that lies or that a reader could stumble over:
// names that are no names, sizes and counts out of bounds, parts that do not
// belong to the scope. The error is ErrInvalidArgument (ErrNotImplemented for an
// unknown major version) and names the field.
func (m *Manifest) Validate() error {
	if err := checkFormat(m.Format); err != nil {
		return err
	}
	if _, err := ParseID(string(m.ID)); err != nil {
		return fmt.Errorf("id: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("snapshot %s: %w: %w", m.ID, fmt.Errorf(format, args...), errdefs.ErrInvalidArgument)
	}
	if m.Parent != "" {
		if _, err := ParseID(string(m.Parent)); err != nil {
			return invalid("parent: %w", err)
		}
		if m.Parent == m.ID {
			return invalid("parent: a snapshot is not its own parent")
		}
	}
	if m.Created.IsZero() {
		return invalid("created is missing")
	}
	if err := m.Sandbox.validate(); err != nil {
		return invalid("sandbox: %w", err)
	}
	if err := m.validateParts(); err != nil {
		return invalid("%w", err)
	}
	switch m.Scope {
	case Data:
	case Full:
		if m.Runtime == nil || m.Machine == nil {
			return invalid("scope Full needs runtime and machine")
		}
		if m.Machine.PageSize <= 0 || m.Machine.PageSize&(m.Machine.PageSize-1) != 0 {
			return invalid("machine: page size %d: want a power of two", m.Machine.PageSize)
		}
	default:
		return invalid("scope %q: want %s or %s", m.Scope, Full, Data)
	}
	return nil
}

func (s *Sandbox) validate() error {
	if err := checkWord(s.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if s.Namespace != "" {
		if err := checkWord(s.Namespace); err != nil {
			return fmt.Errorf("namespace: %w", err)
		}
	}
	if len(s.Containers) > MaxContainers {
		return fmt.Errorf("%d containers, at most %d are allowed", len(s.Containers), MaxContainers)
	}
	seen := map[string]bool{}
	for i, c := range s.Containers {
		if err := checkWord(c.ID); err != nil {
			return fmt.Errorf("container %d: id: %w", i, err)
		}
		if seen[c.ID] {
			return fmt.Errorf("container %q occurs twice", c.ID)
		}
		seen[c.ID] = true
	}
	if len(s.Completed) > MaxContainers {
		return fmt.Errorf("%d completed containers, at most %d are allowed", len(s.Completed), MaxContainers)
	}
	for _, name := range s.Completed {
		if err := checkWord(name); err != nil {
			return fmt.Errorf("completed: %w", err)
		}
	}
	if s.Pod == nil {
		return nil
	}
	for field, value := range map[string]string{"namespace": s.Pod.Namespace, "name": s.Pod.Name} {
		if err := checkWord(value); err != nil {
			return fmt.Errorf("pod: %s: %w", field, err)
		}
	}
	if len(s.Pod.Memory) > MaxContainers {
		return fmt.Errorf("pod: %d volumes in memory, at most %d are allowed", len(s.Pod.Memory), MaxContainers)
	}
	for name, size := range s.Pod.Memory {
		if err := checkWord(name); err != nil {
			return fmt.Errorf("pod: volume in memory: %w", err)
		}
		if size <= 0 {
			return fmt.Errorf("pod: volume %s in memory has %d bytes", name, size)
		}
	}
	return nil
}

// checkWord refuses what cannot be one path element and one printed word.
func checkWord(s string) error {
	if s == "" || len(s) > 255 || s == "." || s == ".." {
		return fmt.Errorf("%.64q is no name", s)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == '/' || r == '\\' || r == 0x7f }); i >= 0 {
		return fmt.Errorf("name %.64q has a forbidden character", s)
	}
	return nil
}

func (m *Manifest) validateParts() error {
	if len(m.Parts) > MaxParts {
		return fmt.Errorf("%d parts, at most %d are allowed", len(m.Parts), MaxParts)
	}
	seen := map[string]bool{}
	var sum int64
	for _, p := range m.Parts {
		if err := p.validate(m.Scope); err != nil {
			return fmt.Errorf("part %.80q: %w", p.Name, err)
		}
		if seen[p.Name] {
			return fmt.Errorf("part %q occurs twice", p.Name)
		}
		seen[p.Name] = true
		if sum += p.Size; sum > MaxPartSize {
			return fmt.Errorf("the parts' sizes exceed %d in all", int64(MaxPartSize))
		}
	}
	if m.Scope != Full {
		return nil
	}
	for _, name := range []string{PartKernel, PartPagesMeta, PartPages} {
		if !seen[name] {
			return fmt.Errorf("scope Full needs part %q", name)
		}
	}
	return nil
}

func (p Part) validate(scope Scope) error {
	volume, durable := p.Durable()
	switch {
	case durable:
		if err := CheckVolumeName(volume); err != nil {
			return err
		}
	case p.Name != PartKernel && p.Name != PartPagesMeta && p.Name != PartPages:
		return fmt.Errorf("unknown name")
	case scope != Full:
		return fmt.Errorf("does not belong to scope %s", scope)
	}
	switch {
	case p.Encoding == TarZstd && !durable:
		return fmt.Errorf("encoding %q is for volumes", p.Encoding)
	case p.Encoding == Raw && durable:
		return fmt.Errorf("encoding %q is not for volumes", p.Encoding)
	case p.Encoding != TarZstd && p.Encoding != Raw && p.Encoding != Chunks:
		return fmt.Errorf("unknown encoding %.32q", p.Encoding)
	}
	if p.Size < 0 || p.Size > MaxPartSize || p.StoredSize < 0 || p.StoredSize > MaxPartSize {
		return fmt.Errorf("size %d, stored %d: want 0 to %d", p.Size, p.StoredSize, int64(MaxPartSize))
	}
	if p.Files < 0 || p.Files > MaxFiles {
		return fmt.Errorf("%d files: want 0 to %d", p.Files, int64(MaxFiles))
	}
	if p.Digest.IsZero() {
		return fmt.Errorf("digest is missing")
	}
	if p.Encoding != Raw && (p.StoredDigest.IsZero() || p.StoredSize == 0) {
		return fmt.Errorf("stored digest or size is missing")
	}
	return nil
}
