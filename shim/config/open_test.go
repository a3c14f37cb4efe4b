// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func TestOpenReadsTheKey(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("AGE-SECRET-KEY-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := Store{URL: "mem://", KeyFile: key}.Open("s")
	if err != nil {
		t.Fatal(err)
	}
	if st.Key != "AGE-SECRET-KEY-1" || st.Name != "s" || st.URL != "mem://" {
		t.Errorf("opened %+v", st)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{key, key + "-missing"} {
		if _, err := (Store{URL: "mem://", KeyFile: path}).Open("s"); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("a store whose key %s cannot be had was opened: %v", path, err)
		}
	}
}
