// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

func TestCacheSizeIsBytesOrAShare(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	total := int64(st.Blocks) * st.Bsize
	for text, want := range map[string]int64{
		"": total / 100 * 10, `cache-size = "20GiB"`: 20 << 30, `cache-size = "512m"`: 512 << 20, `cache-size = "0"`: 0,
		`cache-size = "0%"`: 0, `cache-size = "100%"`: total / 100 * 100,
	} {
		c, err := Load("", "state-dir = '"+dir+"'\n"+text)
		if err != nil {
			t.Fatal(err)
		}
		wantCache := job.Cache{Dir: filepath.Join(dir, "cache"), Size: want}
		if want == 0 {
			wantCache = job.Cache{}
		}
		if got, err := c.Cache(); err != nil || got != wantCache {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, wantCache)
		}
	}
	for _, text := range []string{"x", "-1", "101%", "-5%", "1.5%", "%", ""} {
		if _, err := Load("", "cache-size = '"+text+"'"); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
