// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts/job"
)

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEmptyFileMeansTheDefaults(t *testing.T) {
	got, err := Load(write(t, ""), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestBodyGoesOverTheFile(t *testing.T) {
	path := write(t, `
runsc = "/opt/runsc"
run-dir = "/run/one"
default-store = "a"
[runsc-flags]
platform = "systrap"
network = "sandbox"
[stores.a]
url = "file:///a"
[stores.b]
url = "s3://b?region=x"
env = {AWS_PROFILE = "one", KEY = "x"}
`)
	got, err := Load(path, `
run-dir = "/run/two"
checkpoint-io = "files"
[runsc-flags]
platform = "kvm"
[stores.b]
url = "s3://b2"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Runsc: "/opt/runsc", StateDir: "/var/lib/ateom", RunDir: "/run/two", DefaultStore: "a", CheckpointIO: Files, Hydrate: Default().Hydrate, KubeletDir: "/var/lib/kubelet", CacheSize: Default().CacheSize,
		RunscFlags: map[string]string{"platform": "kvm", "network": "sandbox"},
		// A store is replaced whole: credentials never go with another URL.
		Stores: map[string]Store{"a": {URL: "file:///a"}, "b": {URL: "s3://b2"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"--network=sandbox", "--platform=kvm"}, got.Flags()); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestWhereTheFileIsLookedFor(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nope.toml")
	one, two := write(t, `run-dir = "/one"`), write(t, `run-dir = "/two"`)

	t.Setenv(PathEnv, one)
	for path, want := range map[string]string{"": "/one", two: "/two"} {
		if c, err := Load(path, ""); err != nil || c.RunDir != want {
			t.Errorf("Load(%q) = %+v, %v, want run-dir %s", path, c, err, want)
		}
	}
	if _, err := Load(missing, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("Load of a missing file = %v", err)
	}
	t.Setenv(PathEnv, missing)
	if _, err := Load("", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file from the environment = %v", err)
	}
	if _, err := Load(t.TempDir(), ""); err == nil {
		t.Error("Load of a directory succeeded")
	}
}

func TestBadConfigurationNamesTheSetting(t *testing.T) {
	const sum = "abcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd"
	tests := []struct{ name, text, want string }{
		{"not TOML", `run-dir = `, "read configuration"},
		{"unknown setting", `run-dri = "/x"`, `unknown setting "run-dri"`},
		{"unknown setting of a store", "[stores.a]\nurl = \"file:///a\"\nbucket = \"x\"", `unknown setting "stores.a.bucket"`},
		{"wrong type", `run-dir = 7`, "read configuration"},
		{"relative state-dir", `state-dir = "x"`, `state-dir: want an absolute path, got "x"`},
		{"empty run-dir", `run-dir = ""`, "run-dir: want an absolute path"},
		{"unknown checkpoint-io", `checkpoint-io = "magic"`, `checkpoint-io: want "gofer" or "files", got "magic"`},
		{"unknown hydrate", `hydrate = "slow"`, `hydrate: want`},
		{"overlay none", "[runsc-flags]\noverlay2 = \"none\"", "runsc-flags.overlay2"},
		{"reserved flag", "[runsc-flags]\nroot = \"/x\"", "runsc-flags.root"},
		{"reserved log", "[runsc-flags]\npanic-log = \"/x\"", "runsc-flags.panic-log"},
		{"store without URL", "[stores.a]\nenv = {A = \"b\"}", "stores.a.url: missing"},
		{"store that is a path", "[stores.a]\nurl = \"/dir\"", "stores.a.url: want a URL"},
		{"relative key-file", "[stores.a]\nurl = \"file:///a\"\nkey-file = \"k\"", `stores.a.key-file: want an absolute path, got "k"`},
		{"relative key-command", "[stores.a]\nurl = \"file:///a\"\nkey-command = [\"k\"]", `stores.a.key-command: want a list`},
		{"two keys", "[stores.a]\nurl = \"file:///a\"\nkey-file = \"/k\"\nkey-command = [\"/k\"]", `stores.a.key-command: there is a key-file too`},
		{"build without a path", "[[runsc-builds]]\nsha256 = \"" + sum + "\"", "runsc-builds[0].path"},
		{"build without a checksum", "[[runsc-builds]]\npath = \"/a\"", "runsc-builds[0].sha256"},
		{"build with a short checksum", "[[runsc-builds]]\npath = \"/a\"\nsha256 = \"ab\"", "runsc-builds[0].sha256"},
		{"build with a shouted checksum", "[[runsc-builds]]\npath = \"/a\"\nsha256 = \"" + strings.ToUpper(sum) + "\"", "runsc-builds[0].sha256"},
		{"build listed twice", strings.Repeat("[[runsc-builds]]\npath = \"/a\"\nsha256 = \""+sum+"\"\n", 2), "runsc-builds[1].sha256"},
		{"unknown default store", `default-store = "b"`, `default-store: there is no store "b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			_, err := Load(path, "")
			if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("in the file: %v, want %q and the path", err, tt.want)
			}
			_, err = Load(write(t, ""), tt.text)
			if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("in the runtime options: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestErrorsDoNotQuoteAStoresURL(t *testing.T) {
	_, err := Load(write(t, "[stores.a]\nurl = \"//user:secret@host/%zz\""), "")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Load = %v", err)
	}
}

func TestStoreGoesWholeIntoAJob(t *testing.T) {
	got := Store{URL: "mem://", Env: map[string]string{"A": "b"}, KeyFile: "/k", KeyCommand: []string{"/c", "x"}}.Job("s")
	want := job.Store{Name: "s", URL: "mem://", Env: map[string]string{"A": "b"}, KeyFile: "/k", KeyCommand: []string{"/c", "x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("store (-want +got):\n%s", diff)
	}
}

func TestStore(t *testing.T) {
	c := &Config{DefaultStore: "a", Stores: map[string]Store{"a": {URL: "file:///a"}, "b": {URL: "s3://b"}}}
	for name, want := range map[string]string{"": "a", "a": "a", "b": "b"} {
		if got, s, err := c.Store(name); err != nil || got != want || s.URL != c.Stores[want].URL {
			t.Errorf("Store(%q) = %s, %+v, %v, want %s", name, got, s, err, want)
		}
	}
	for _, name := range []string{"c", "file:///a", "s3://b"} { // a URL is not a name
		if _, _, err := c.Store(name); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "a, b") {
			t.Errorf("Store(%q) = %v, want not found and the names there are", name, err)
		}
	}
	c.DefaultStore = ""
	if _, _, err := c.Store(""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("Store without a default = %v", err)
	}
}

func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	runsc := filepath.Join(dir, "runsc")
	if err := os.WriteFile(runsc, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for configured, want := range map[string]string{"": runsc, "/bin/sh": "/bin/sh"} {
		if got, err := (&Config{Runsc: configured}).RunscPath(); err != nil || got != want {
			t.Errorf("RunscPath with %q = %s, %v, want %s", configured, got, err, want)
		}
	}
	if _, err := (&Config{Gofer: filepath.Join(dir, "nope")}).GoferPath(); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "ateom-gofer as configured") {
		t.Errorf("GoferPath of a missing file = %v", err)
	}
	if _, err := (&Config{}).GoferPath(); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "ateom-gofer") {
		t.Errorf("GoferPath = %v, want not found", err)
	}
	t.Chdir(dir)
	if _, err := (&Config{Runsc: "runsc"}).RunscPath(); !errdefs.IsInvalidArgument(err) {
		t.Errorf("RunscPath of a relative path = %v", err)
	}

	// Beside the running binary goes before PATH.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(self), "runsc")
	if err := os.WriteFile(beside, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(beside)
	if got, err := (&Config{}).RunscPath(); err != nil || got != beside {
		t.Errorf("RunscPath = %s, %v, want %s", got, err, beside)
	}
	if err := os.Chmod(beside, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (&Config{}).RunscPath(); err != nil || got != runsc {
		t.Errorf("RunscPath beside a file that cannot be run = %s, %v, want %s", got, err, runsc)
	}
}
