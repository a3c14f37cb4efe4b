// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentifyHashesOnce(t *testing.T) {
	r, out := fakeRunsc(t, `echo asked >>"$OUT/asked"; echo "runsc version release-1"; echo "spec: 1.1.0"`)
	t.Setenv("OUT", out)
	cache := filepath.Join(t.TempDir(), "a", "b")
	text, err := os.ReadFile(r.Binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	want := Identity{Version: "release-1", SHA256: hex.EncodeToString(sum[:])}
	for range 2 {
		if got, err := Identify(t.Context(), r.Binary, cache); err != nil || got != want {
			t.Fatalf("Identify = %+v, %v, want %+v", got, err, want)
		}
	}
	if n := strings.Count(readFile(t, out, "asked"), "asked"); n != 1 {
		t.Errorf("the binary was asked %d times, want 1", n)
	}

	// Another file under the same name is another runsc.
	replacement := r.Binary + ".new"
	writeFile(t, replacement, "#!/bin/sh\necho 'runsc version release-2'\n", 0o700)
	if err := os.Rename(replacement, r.Binary); err != nil {
		t.Fatal(err)
	}
	if got, err := Identify(t.Context(), r.Binary, cache); err != nil || got.Version != "release-2" || got.SHA256 == want.SHA256 {
		t.Errorf("Identify after a replacement = %+v, %v", got, err)
	}
}

func TestIdentifyIgnoresADamagedCache(t *testing.T) {
	r, _ := fakeRunsc(t, `echo "runsc version release-1"`)
	cache := t.TempDir()
	want, err := Identify(t.Context(), r.Binary, cache)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(cache)
	if err != nil || len(files) != 1 {
		t.Fatalf("the cache has %v, %v, want one file", files, err)
	}
	writeFile(t, filepath.Join(cache, files[0].Name()), "{", 0o600)
	if got, err := Identify(t.Context(), r.Binary, cache); err != nil || got != want {
		t.Errorf("Identify = %+v, %v, want %+v", got, err, want)
	}
}

func TestIdentifyRefusesOtherBinaries(t *testing.T) {
	cache := t.TempDir()
	r, _ := fakeRunsc(t, `echo "runc version 1.2"`)
	if _, err := Identify(t.Context(), r.Binary, cache); err == nil || !strings.Contains(err.Error(), "is not runsc's answer") {
		t.Errorf("Identify of another program = %v", err)
	}
	if _, err := Identify(t.Context(), filepath.Join(cache, "nope"), cache); err == nil {
		t.Error("Identify of a missing binary succeeded")
	}
	if files, err := os.ReadDir(cache); err != nil || len(files) != 0 {
		t.Errorf("failures were kept in the cache: %v, %v", files, err)
	}
}
