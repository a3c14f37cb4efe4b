// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
)

var (
	importsLine = regexp.MustCompile(`(?m)^imports[ \t]*=[ \t]*\[`)
	tableLine   = regexp.MustCompile(`(?m)^[ \t]*\[`)
	versionLine = regexp.MustCompile(`(?m)^version[ \t]*=.*\n`)
)

// patternOf is what a main configuration imports a drop-in by. containerd does not
// start if a file that it is to import is not there, but a pattern may match none.
func patternOf(dropIn string) string {
	ext := filepath.Ext(dropIn)
	return strings.TrimSuffix(dropIn, ext) + "*" + ext
}

// withImport returns the text of a main configuration that imports a drop-in, and
// as it is if it does already. Comments and order stay as they are.
func withImport(text, dropIn string) (string, error) {
	config := table{}
	if err := toml.Unmarshal([]byte(text), &config); err != nil {
		return "", fmt.Errorf("read containerd's configuration: %w", err)
	}
	if slices.ContainsFunc(imports(config), func(pattern string) bool {
		matched, err := filepath.Match(pattern, dropIn)
		return err == nil && matched
	}) {
		return text, nil
	}
	path := patternOf(dropIn)
	top := len(text)
	if first := tableLine.FindStringIndex(text); first != nil {
		top = first[0]
	}
	out := text
	if at := importsLine.FindStringIndex(text[:top]); at != nil {
		rest := strings.TrimLeft(text[at[1]:], " \t\n")
		comma := ", "
		if strings.HasPrefix(rest, "]") {
			comma = ""
		}
		out = text[:at[1]] + fmt.Sprintf("%q%s", path, comma) + strings.TrimLeft(text[at[1]:], " \t")
	} else {
		at := 0
		if v := versionLine.FindStringIndex(text[:top]); v != nil {
			at = v[1]
		}
		out = text[:at] + fmt.Sprintf("imports = [%q]\n", path) + text[at:]
	}
	// Whatever the text looked like, the result must say what was meant.
	again := table{}
	if err := toml.Unmarshal([]byte(out), &again); err != nil || !slices.Contains(imports(again), path) {
		return "", fmt.Errorf("add an import to containerd's configuration: its text is not understood; add %q to its imports by hand: %w",
			path, errdefs.ErrFailedPrecondition)
	}
	return out, nil
}

// rebase makes what somebody else has made of containerd's main configuration since
// we wrote it, without our import, what it becomes when it is undone.
func (o *Options) rebase(j *journal) error {
	e := j.file(o.Containerd)
	if e == nil {
		return nil
	}
	now, err := os.ReadFile(j.at(o.Containerd))
	if err != nil || digest(now) == e.After || bytes.Equal(now, e.Before) {
		return nil // what cannot be read, undo tells
	}
	config := table{}
	if err := toml.Unmarshal(now, &config); err != nil {
		return nil // theirs: undo leaves it, and names it
	}
	text, err := withoutImport(string(now), o.dropInPath())
	if err != nil {
		return err
	}
	if e.Before == nil {
		e.Mode = 0o600
	}
	e.Before, e.After = []byte(text), digest(now)
	return nil
}

// withoutImport returns the text of a main configuration without the import of a
// drop-in that withImport, or one of its earlier releases, has added.
func withoutImport(text, dropIn string) (string, error) {
	ours := []string{patternOf(dropIn), dropIn}
	config := table{}
	if err := toml.Unmarshal([]byte(text), &config); err != nil {
		return "", fmt.Errorf("read containerd's configuration: %w", err)
	}
	isOurs := func(path string) bool { return slices.Contains(ours, path) }
	want := slices.DeleteFunc(imports(config), isOurs)
	out := text
	for _, path := range ours {
		quoted := `["']` + regexp.QuoteMeta(path) + `["']`
		out = regexp.MustCompile(`(?m)^imports = \[`+quoted+`\]\n`).ReplaceAllLiteralString(out, "")
		out = regexp.MustCompile(quoted+`[ \t]*,?[ \t]*`).ReplaceAllLiteralString(out, "")
	}
	again := table{}
	if err := toml.Unmarshal([]byte(out), &again); err != nil || !slices.Equal(imports(again), want) {
		return "", fmt.Errorf("take an import out of containerd's configuration: its text is not understood; take %q out of its imports by hand: %w",
			ours, errdefs.ErrFailedPrecondition)
	}
	return out, nil
}
