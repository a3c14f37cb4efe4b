// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// A record may name more than is ever held: what was fetched ahead is still there
// when it is read, however late that is.
func TestPrefetchFetchesNothingTwice(t *testing.T) {
	draft, content := sampleSnapshot(t, 2*maxHeld)
	url, _, id := upload(t, draft)
	dir := fetchLazily(t, url, id)
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	must(t, err)
	store, err := bucket.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { store.Close() })
	var fetched atomic.Int64
	s := newRemoteSource(t.Context(), countedStore{bucket.Objects{Store: store}, &fetched}, recipe, nil, newStatus("", job.Restore))
	defer s.close()

	var all []int
	var total int64
	for i := range recipe.Len() {
		all = append(all, i)
	}
	for _, x := range s.extents {
		total += int64(x.size)
	}
	s.prefetch(all)
	must(t, poll(30*time.Second, func() error {
		if n := fetched.Load(); n < prefetchAhead*extentBytes/2 {
			return fmt.Errorf("%d bytes have been fetched ahead", n)
		}
		return nil
	}))

	buf := make([]byte, recipe.Chunk(0).Length)
	for _, i := range all {
		c := recipe.Chunk(i)
		buf = buf[:c.Length]
		must(t, s.readChunk(t.Context(), i, buf))
		if !bytes.Equal(buf, content[c.Offset:c.Offset+int64(c.Length)]) {
			t.Fatalf("chunk %d is another one", i)
		}
	}
	if got := fetched.Load(); got != total {
		t.Errorf("fetched %d bytes of %d", got, total)
	}
	if n := len(s.slots); n != 0 {
		t.Errorf("%d slots of prefetches are not given back", n)
	}
}
