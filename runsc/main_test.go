// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRunsc returns a driver of a shell script in runsc's place. In the script
// $LOG is the driver's log and $OUT a directory for what the test looks at.
func fakeRunsc(t *testing.T, script string) (r *Runsc, out string) {
	t.Helper()
	dir := t.TempDir()
	r = &Runsc{Binary: filepath.Join(dir, "runsc"), Root: filepath.Join(dir, "root"), Log: filepath.Join(dir, "log")}
	out = filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	r.Env = []string{"LOG=" + r.Log, "OUT=" + out}
	writeFile(t, r.Binary, "#!/bin/sh\n"+script+"\n", 0o700)
	return r, out
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// realRunsc returns the path of the runsc that the tests are meant for.
func realRunsc(t *testing.T) string {
	t.Helper()
	path := os.Getenv("ATEOM_RUNSC")
	if path == "" {
		cache := os.Getenv("ATEOM_CACHE")
		if cache == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				t.Fatal(err)
			}
			cache = filepath.Join(home, ".cache", "ateom")
		}
		path = filepath.Join(cache, "bin", "runsc")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("find a real runsc: %v; build one with \"make tools\" or name one in ATEOM_RUNSC", err)
	}
	return path
}
