// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/containerd/errdefs"
)

// sh is a store whose keys a shell script prints.
func sh(script string) job.Store {
	return job.Store{Name: "prod", URL: "mem://", Env: map[string]string{"OWN": "store's"}, KeyCommand: []string{"/bin/sh", "-c", script}}
}

func TestKeysAreReadFromFileOrCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("KEY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not for the command")
	for want, st := range map[string]job.Store{
		"KEY\n":            {Name: "prod", URL: "mem://", KeyFile: path},
		"from a command\n": sh("echo from a command; echo noise >&2"),
		"OWN=store's\nPATH=" + strings.TrimPrefix(keyCommandPath, "PATH=") + "\nPWD=/\n": sh("env | grep -v ^_= | sort"),
	} {
		if got, err := readKeys(t.Context(), st); err != nil || got != want {
			t.Errorf("keys of %+v: %q, %v, want %q", st, got, err, want)
		}
	}
}

func TestKeysThatCannotBeReadAreNotShown(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, make([]byte, maxKeys+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]job.Store{
		"no file":         {Name: "prod", URL: "mem://", KeyFile: filepath.Join(dir, "none")},
		"a directory":     {Name: "prod", URL: "mem://", KeyFile: dir},
		"a long file":     {Name: "prod", URL: "mem://", KeyFile: long},
		"no command":      {Name: "prod", URL: "mem://", KeyCommand: []string{filepath.Join(dir, "none")}},
		"a failure":       sh("echo AGE-SECRET-KEY-1QQ; echo AGE-SECRET-KEY-1QQ >&2; exit 3"),
		"silence":         sh("echo"),
		"endless output":  sh("yes AGE-SECRET-KEY-1QQ"),
		"no key":          sh("echo AGE-SECRET-KEY-1QQ"),
		"a key with more": sh("echo AGE-SECRET-KEY-1QQ; echo x"),
	} {
		_, err := OpenStore(t.Context(), st)
		if !errors.Is(err, errdefs.ErrFailedPrecondition) && !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v, want failed precondition or invalid argument", name, err)
			continue
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
		if !strings.Contains(err.Error(), "store prod") && !strings.Contains(err.Error(), "store mem:") {
			t.Errorf("%s: %v does not name the store", name, err)
		}
	}
}

func TestKeyCommandEndsInTime(t *testing.T) {
	// What the shell starts keeps the pipe open, and must end too.
	stuck := sh("sleep 1000 & sleep 1000; wait")
	started := time.Now()
	if _, err := runKeyCommand(t.Context(), stuck, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "more than 50ms") {
		t.Errorf("a command that hangs: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := readKeys(ctx, stuck); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command whose caller has gone: %v", err)
	}
	if took := time.Since(started); took > keyCommandTime {
		t.Errorf("it took %s", took)
	}
}
