// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/durabledir/treetest"
)

// Where an archive is cut depends on nothing but the tree, also when parts of
// it are reused; and a change moves no cut but those around it.
func TestSegmentsDependOnTheTreeOnly(t *testing.T) {
	dir := t.TempDir()
	for i := range 2000 {
		treetest.Write(t, filepath.Join(dir, fmt.Sprintf("d%d/f%d", i%20, i)), fmt.Sprint(bytes.Repeat([]byte{byte(i)}, i)))
	}
	treetest.Write(t, filepath.Join(dir, "large"), string(make([]byte, maxSmall+1)))
	pass := begin(t, dir, nil, quick(t))
	first := segments(t, pass, nil)
	index := pass.Index()
	if n, average := len(first.cuts), first.Len()/len(first.cuts); average < segmentBytes/2 || average > 4*segmentBytes {
		t.Errorf("%d segments of %d bytes on average, want about %d", n, average, segmentBytes)
	}

	must(t, os.Remove(filepath.Join(dir, "d7/f107")))
	treetest.Write(t, filepath.Join(dir, "d3/new"), "new")
	reusing := segments(t, begin(t, dir, index, quick(t)), first.Bytes())
	fresh := segments(t, begin(t, dir, nil, quick(t)), nil)
	if !bytes.Equal(reusing.Bytes(), fresh.Bytes()) {
		t.Fatal("reusing makes another archive")
	}
	cuts := map[int64]bool{}
	for _, at := range fresh.cuts {
		cuts[at] = true
	}
	for _, at := range reusing.cuts {
		if !cuts[at] {
			t.Errorf("reusing cuts at %d, where nobody else does", at)
		}
	}
	if again := int64(fresh.Len()) - reusing.reused; again > 16*segmentBytes {
		t.Errorf("%d bytes of %d were read again", again, fresh.Len())
	}
}

func segments(t *testing.T, p *Pass, previous []byte) *archive {
	t.Helper()
	a := &archive{previous: previous}
	_, err := p.Finish(context.Background(), a)
	must(t, err)
	return a
}
