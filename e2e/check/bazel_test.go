// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite BUILD and MODULE.bazel instead of comparing them")

// Bazel itself is not run here. Gazelle is, on a copy of the tree: what it
// makes of the packages decides what BUILD and MODULE.bazel have to name.
func TestBazelFilesAreInSync(t *testing.T) {
	dir := copyForGazelle(t)
	gazelle := strings.TrimSpace(run(t, top, "e2e/tools/install", "gazelle"))
	run(t, dir, gazelle, "-repo_root="+dir, "-repo_config="+filepath.Join(dir, "repos.bzl"), "-external=static", "-go_prefix="+module)

	repos, binaries := map[string]bool{}, map[string]bool{}
	label := regexp.MustCompile(`"@(\w+)//`)
	binary := regexp.MustCompile(`go_binary\(\s+name = "([^"]+)"`)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "BUILD.bazel" {
			return err
		}
		text := readAt(t, path)
		for _, m := range label.FindAllStringSubmatch(text, -1) {
			repos[m[1]] = true
		}
		rel, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if !strings.HasPrefix(rel, "cmd/") {
			return nil // a test's own program
		}
		for _, m := range binary.FindAllStringSubmatch(text, -1) {
			binaries["//"+rel+":"+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Rules are loaded from these; MODULE.bazel names them apart.
	delete(repos, "rules_go")
	delete(repos, "io_bazel_rules_go")
	if len(repos) < 10 || len(binaries) < 3 {
		t.Fatalf("gazelle found only %d repositories and %d binaries", len(repos), len(binaries))
	}
	compare(t, "MODULE.bazel", "use_repo(\n    go_deps,\n", "", repos)
	compare(t, "BUILD", "srcs = [\n", "    ", binaries)
}

// compare checks that the list that follows head in a file has exactly the
// entries want, in order; with -update it writes them.
func compare(t *testing.T, path, head, indent string, want map[string]bool) {
	t.Helper()
	text := read(t, path)
	before, rest, ok := strings.Cut(text, head)
	end := regexp.MustCompile(`(?m)^ *[\])]`).FindStringIndex(rest)
	if !ok || end == nil {
		t.Fatalf("%s has no list after %q", path, head)
	}
	var b strings.Builder
	for _, entry := range slices.Sorted(maps.Keys(want)) {
		fmt.Fprintf(&b, "    %s%q,\n", indent, entry)
	}
	fresh := before + head + b.String() + rest[end[0]:]
	if *update {
		if err := os.WriteFile(filepath.Join(top, path), []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(text, fresh); diff != "" {
		t.Errorf("%s is not in step with the packages and go.mod: run make generate (-is +wanted):\n%s", path, diff)
	}
}

// copyForGazelle copies what gazelle reads and names go.mod's modules for it.
func copyForGazelle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range files(t) {
		if strings.HasPrefix(path, "e2e/") || !slices.Contains([]string{".go", ".mod", ".bazel", ""}, filepath.Ext(path)) {
			continue
		}
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(read(t, path)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	for path := range requires(t, ".") {
		fmt.Fprintf(&b, "go_repository(\n    name = %q,\n    importpath = %q,\n)\n", repoName(path), path)
	}
	if err := os.WriteFile(filepath.Join(dir, "repos.bzl"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// repoName is the name that Bazel's go_deps gives to a module: the host's
// labels reversed, then the path, joined by underscores.
func repoName(path string) string {
	host, rest, _ := strings.Cut(strings.ToLower(path), "/")
	labels := strings.Split(host, ".")
	slices.Reverse(labels)
	name := strings.Join(labels, "_")
	if rest != "" {
		name += "_" + rest
	}
	return strings.NewReplacer("/", "_", "-", "_", ".", "_", "+", "_").Replace(name)
}

func TestRepoNamesFollowGoDeps(t *testing.T) {
	for path, want := range map[string]string{
		"github.com/klauspost/compress": "com_github_klauspost_compress",
		"github.com/oklog/ulid/v2":      "com_github_oklog_ulid_v2",
		"gvisor.dev/gvisor":             "dev_gvisor_gvisor",
		"gocloud.dev":                   "dev_gocloud",
		"github.com/aws/smithy-go":      "com_github_aws_smithy_go",
	} {
		if got := repoName(path); got != want {
			t.Errorf("repoName(%q) = %q, want %q", path, got, want)
		}
	}
}
