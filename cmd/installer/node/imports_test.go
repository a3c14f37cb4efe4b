// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithImport(t *testing.T) {
	const path, pattern = "/etc/containerd/conf.d/ateom.toml", "/etc/containerd/conf.d/ateom*.toml"
	for text, want := range map[string]string{
		"":                              "imports = [\"" + pattern + "\"]\n",
		"version = 3\n[a]\nb=1\n":       "version = 3\nimports = [\"" + pattern + "\"]\n[a]\nb=1\n",
		"imports = []\n":                "imports = [\"" + pattern + "\"]\n",
		"imports = [ 'x' ]\n":           "imports = [\"" + pattern + "\", 'x' ]\n",
		"imports = [\n  'x',\n]\n[a]\n": "imports = [\"" + pattern + "\", \n  'x',\n]\n[a]\n",
		"imports = ['/etc/containerd/conf.d/*.toml']\n": "imports = ['/etc/containerd/conf.d/*.toml']\n",
		"imports = ['" + path + "']\n":                  "imports = ['" + path + "']\n", // of an earlier release
		"[a]\nimports = ['x']\n":                        "imports = [\"" + pattern + "\"]\n[a]\nimports = ['x']\n",
	} {
		got, err := withImport(text, path)
		if err != nil || got != want {
			t.Errorf("withImport(%q) = %q, %v, want %q", text, got, err, want)
			continue
		}
		// What was added goes again.
		if back, err := withoutImport(got, path); text != want && (err != nil || strings.ReplaceAll(back, " ", "") != strings.ReplaceAll(text, " ", "")) &&
			text != "imports = []\n" {
			t.Errorf("withoutImport(%q) = %q, %v, want %q", got, back, err, text)
		}
	}
	if _, err := withImport("version = ", path); err == nil {
		t.Error("a text that is no TOML was taken")
	}
	if _, err := withImport("imports = \"x\"\n", path); err == nil {
		t.Error("imports that are no list were taken")
	}
}

func TestWithoutImport(t *testing.T) {
	const path = "/etc/containerd/conf.d/ateom.toml"
	for text, want := range map[string]string{
		"version = 3\nimports = [\"" + path + "\"]\n[a]\n":             "version = 3\n[a]\n",
		"imports = ['" + path + "', 'x']\n":                            "imports = ['x']\n",
		"imports = ['x', '/etc/containerd/conf.d/ateom*.toml']\n":      "imports = ['x', ]\n",
		"imports = [\n  'x',\n  '/etc/containerd/conf.d/*.toml',\n]\n": "imports = [\n  'x',\n  '/etc/containerd/conf.d/*.toml',\n]\n",
		"root = \"/r\"\n": "root = \"/r\"\n",
	} {
		if got, err := withoutImport(text, path); err != nil || got != want {
			t.Errorf("withoutImport(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	// A text that says it in another way must not lose something else.
	if got, err := withoutImport("imports = [\"/etc/containerd/conf.d/\\u0061teom.toml\"]\n", path); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("withoutImport = %q, %v", got, err)
	}
}

// Somebody changes containerd's main configuration after the install: their
// change stays, our import goes, also one that an earlier release has written.
func TestUninstallTakesTheImportOutOfAChangedConfiguration(t *testing.T) {
	const main, added = "etc/containerd/config.toml", "\n[debug]\n  level = \"debug\"\n"
	for name, config := range map[string]string{"version 2": config2, "version 3": config3, "none": ""} {
		for _, again := range []bool{false, true} {
			for _, old := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					o, _ := newNode(t, config)
					if err := Install(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					text := tree(t, o.Root)[main]
					_, text, _ = strings.Cut(text, " ")
					if old {
						text = strings.ReplaceAll(text, "conf.d/ateom*.toml", "conf.d/ateom.toml")
					}
					write(t, filepath.Join(o.Root, main), text+added)
					if again {
						if err := Install(t.Context(), o); err != nil {
							t.Fatal(err)
						}
					}
					if err := Uninstall(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					_, text, _ = strings.Cut(tree(t, o.Root)[main], " ")
					if diff := cmp.Diff(config+added, text); diff != "" {
						t.Errorf("the configuration (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// Somebody's tool writes the configuration anew, without our import, and the next
// install adds it again: an uninstall must not bring back what was there at first.
func TestUninstallKeepsAConfigurationThatWasWrittenAnew(t *testing.T) {
	const main, anew = "etc/containerd/config.toml", "version = 3\nroot = \"/other\"\n"
	o, _ := newNode(t, config3)
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(o.Root, main), anew)
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, o.Root)[main]; !strings.Contains(got, "conf.d/ateom*.toml") {
		t.Errorf("the import was not added again: %s", got)
	}
	if err := Uninstall(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, o.Root)[main]; !strings.HasSuffix(got, anew) || strings.Contains(got, "ateom") {
		t.Errorf("the configuration is %s", got)
	}
}
