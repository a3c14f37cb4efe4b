// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roof

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// testSize is enough to tell a rate and little enough to be quick.
const testSize = 16 << 20

func TestMeasureGivesPlausibleRatesAndCleansUp(t *testing.T) {
	dir := t.TempDir()
	rates, err := measure(t.Context(), dir, "/bin/true", testSize)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]float64{}
	for _, r := range rates {
		by[r.Name] = r.Value
		if r.Value <= 0 || r.Unit == "GB/s" && r.Value > 1000 {
			t.Errorf("%s = %v %s", r.Name, r.Value, r.Unit)
		}
	}
	if by["zstd level 1, one thread"] >= by["memcpy, one thread"] {
		t.Errorf("compressing is as fast as copying: %v", by)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if _, err := measure(ctx, t.TempDir(), "/bin/true", testSize); !errors.Is(err, context.Canceled) {
		t.Errorf("measure = %v, want %v", err, context.Canceled)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMeasureNamesWhatFailed(t *testing.T) {
	_, err := measure(t.Context(), "/nonexistent", "/bin/true", testSize)
	if err == nil {
		t.Fatal("no error for a directory that does not exist")
	}
	if want := "measure disk write + fsync: "; err.Error()[:len(want)] != want {
		t.Errorf("error %q does not begin with %q", err, want)
	}
}
