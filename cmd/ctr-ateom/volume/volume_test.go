// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/fake"
)

// Who looks into a large volume fetches what is looked at, not the volume.
func TestLookingFetchesLittle(t *testing.T) {
	store, err := bucket.Open(t.Context(), "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := fake.FillBig(t.Context(), store, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	s := bucket.Count(store)
	m, err := transfer.Get(t.Context(), s, fake.BigID)
	if err != nil {
		t.Fatal(err)
	}
	if p := m.Parts[0]; p.Encoding != artifacts.Chunks {
		t.Fatalf("the volume's encoding is %q", p.Encoding)
	}
	const whole = 8 * 9 << 20
	before := s.Received()
	files, err := List(t.Context(), s, m, Headers)
	if err != nil || len(files) != 11 {
		t.Errorf("%d files, %v; want 8 large ones, a small one and two directories", len(files), err)
	}
	if n := s.Received() - before; n > whole/4 {
		t.Errorf("to list it %d bytes of %d were fetched", n, whole)
	} else {
		t.Logf("list: %d bytes of %d", n, whole)
	}
	before = s.Received()
	var out bytes.Buffer
	if err := Cat(t.Context(), s, m, "big/small/notes", &out); err != nil || out.String() != "call home\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if n := s.Received() - before; n > whole/4 {
		t.Errorf("to read a small file of it %d bytes of %d were fetched", n, whole)
	} else {
		t.Logf("cat: %d bytes of %d", n, whole)
	}
}
