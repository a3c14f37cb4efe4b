// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"context"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

var (
	operations = flag.Int("operations", 100_000, "random operations in TestCacheBehavesLikeItsModel")
	seed       = flag.Uint64("seed", 1, "of the random operations")
)

// A world is a cache, who uses it, and what must be in it.
type world struct {
	t       *testing.T
	random  *rand.Rand
	now     time.Time
	dir     string
	samples []sample
	users   []*user
	// has are the blocks of each object that must be in the cache, used when it
	// was in use last. Objects that are not in the cache are in neither.
	has  map[artifacts.Digest]map[int64]bool
	used map[artifacts.Digest]time.Time

	capacity int64
	counts   map[string]int
}

// A user is a process that has objects in use.
type user struct {
	set  *Set
	has  map[artifacts.Digest]bool // those that the cache keeps
	want []sample
}

func (w *world) cache() *Cache {
	return &Cache{dir: w.dir, capacity: w.capacity, now: func() time.Time { w.now = w.now.Add(time.Second); return w.now }}
}

// TestCacheBehavesLikeItsModel: whatever users, crashes and damage do, every
// reader gets the object's bytes; what the cache has is not fetched; what it
// has not is fetched once; what is in use is not evicted, of the rest the
// oldest; and the cache takes no more than it may.
func TestCacheBehavesLikeItsModel(t *testing.T) {
	w := &world{
		t: t, random: rand.New(rand.NewPCG(*seed, 0)), now: time.Now().Add(-time.Duration(*operations) * time.Minute),
		dir: filepath.Join(t.TempDir(), "cache"), has: map[artifacts.Digest]map[int64]bool{}, used: map[artifacts.Digest]time.Time{},
		capacity: 1 << 20, counts: map[string]int{},
	}
	_, err := Open(w.dir, w.capacity)
	must(t, err)
	for i := range 40 {
		w.samples = append(w.samples, newSample(uint64(i), 1000+w.random.IntN(120<<10)))
	}
	for range *operations {
		w.step()
		if t.Failed() {
			t.Fatalf("seed %d, after %v", *seed, w.counts)
		}
	}
	for len(w.users) > 0 {
		w.close(0)
	}
	t.Logf("seed %d: %v", *seed, w.counts)
	for _, what := range []string{"hit", "fetch", "not kept", "evict", "crash", "damage", "trim", "close"} {
		if w.counts[what] == 0 {
			t.Errorf("no %s in %d operations", what, *operations)
		}
	}
}

func (w *world) step() {
	switch n := w.random.IntN(1000); {
	case n < 40 && len(w.users) < 6:
		w.pin()
	case n < 60 && len(w.users) > 0:
		w.close(w.random.IntN(len(w.users)))
	case n < 70 && len(w.users) > 0:
		w.crash()
	case n < 80:
		w.damage()
	case n < 90:
		w.trim()
	case len(w.users) > 0:
		w.read(w.users[w.random.IntN(len(w.users))])
	}
}

func (w *world) pin() {
	u := &user{has: map[artifacts.Digest]bool{}}
	for range 1 + w.random.IntN(6) {
		u.want = append(u.want, w.samples[w.random.IntN(len(w.samples))])
	}
	var objects []Object
	madeRoom := false
	for _, o := range u.want {
		objects = append(objects, o.Object)
		fi, err := os.Stat(filepath.Join(w.dir, fileName(o.Digest)))
		madeRoom = madeRoom || err != nil || fi.Size() != o.Size
	}
	var err error
	if u.set, err = w.cache().Pin(objects); err != nil {
		w.t.Errorf("pin: %v", err)
	}
	w.users = append(w.users, u)
	for d := range u.set.files {
		u.has[d] = true
		if w.has[d] == nil {
			w.has[d] = map[int64]bool{}
		}
		w.used[d] = w.now
	}
	w.checkEvictions(madeRoom)
}

func (w *world) pinned(d artifacts.Digest) bool {
	for _, u := range w.users {
		if u.has[d] {
			return true
		}
	}
	return false
}

// checkEvictions finds out what went and whether it was its turn, and, where
// room was made, whether there is some.
func (w *world) checkEvictions(madeRoom bool) {
	w.t.Helper()
	var size, idle int64
	for d := range maps.Clone(w.has) {
		var st unix.Stat_t
		err := unix.Stat(filepath.Join(w.dir, fileName(d)), &st)
		switch {
		case err == nil && w.pinned(d):
			size += max(wholeBlocks(st.Size), st.Blocks*512)
		case err == nil:
			size += st.Blocks * 512
			idle++
		case w.pinned(d):
			w.t.Errorf("evicted %s, which is in use", d)
		default:
			w.counts["evict"]++
			for other, used := range w.used {
				if other != d && !w.pinned(other) && used.Before(w.used[d]) {
					if _, err := os.Stat(filepath.Join(w.dir, fileName(other))); err == nil {
						w.t.Errorf("evicted %s before %s, which is older", d, other)
					}
				}
			}
			delete(w.has, d)
		}
	}
	maps.DeleteFunc(w.used, func(d artifacts.Digest, _ time.Time) bool { return w.has[d] == nil })
	// A file system may count a block more for each file as soon as it writes them back.
	if madeRoom && size > w.capacity+block*int64(len(w.has)) && idle > 0 {
		w.t.Errorf("%d bytes of %d, and %d objects could go", size, w.capacity, idle)
	}
}

func (w *world) trim() {
	w.counts["trim"]++
	w.capacity = int64(w.random.IntN(2 << 20))
	if _, _, err := w.cache().Trim(Evict); err != nil {
		w.t.Errorf("trim: %v", err)
	}
	w.checkEvictions(true)
}

func (w *world) close(i int) {
	w.counts["close"]++
	u := w.users[i]
	w.users = append(w.users[:i], w.users[i+1:]...)
	u.set.cache.now = w.cache().now
	if err := u.set.Close(); err != nil {
		w.t.Errorf("close: %v", err)
	}
	for d := range u.has {
		w.used[d] = w.now
	}
}

// crash ends a process without a word. The disk forgets some of what it wrote.
func (w *world) crash() {
	w.counts["crash"]++
	i := w.random.IntN(len(w.users))
	u := w.users[i]
	w.users = append(w.users[:i], w.users[i+1:]...)
	for d, f := range u.set.files {
		for b := range w.has[d] {
			if w.random.IntN(4) == 0 {
				f.forget(b*block, b*block+1)
				delete(w.has[d], b)
			}
		}
		must(w.t, f.f.Close())
	}
	w.keepTime()
}

// damage changes or cuts a file that nobody uses, or writes nonsense into one.
func (w *world) damage() {
	w.counts["damage"]++
	o := w.samples[w.random.IntN(len(w.samples))]
	path := filepath.Join(w.dir, fileName(o.Digest))
	if w.has[o.Digest] == nil {
		return
	}
	if !w.pinned(o.Digest) && w.random.IntN(2) == 0 {
		must(w.t, os.Truncate(path, w.random.Int64N(o.Size)))
		w.has[o.Digest] = map[int64]bool{}
	} else {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(w.t, err)
		off := w.random.Int64N(o.Size)
		_, err = f.WriteAt(make([]byte, min(o.Size-off, 100)), off)
		must(w.t, err)
		must(w.t, f.Close())
		for b := off / block; b*block < min(o.Size, off+100); b++ {
			delete(w.has[o.Digest], b)
		}
	}
	w.keepTime()
}

// keepTime undoes what crashes and damage do to the times of files.
func (w *world) keepTime() {
	for d, used := range w.used {
		err := os.Chtimes(filepath.Join(w.dir, fileName(d)), used, used)
		must(w.t, err)
	}
}

// read does what a reader does: it compares, forgets and reads again.
func (w *world) read(u *user) {
	o := u.want[w.random.IntN(len(u.want))]
	off := w.random.Int64N(o.Size)
	n := 1 + w.random.IntN(int(min(o.Size-off, 20<<10)))
	start, end := off/block, (off+int64(n)+block-1)/block
	hit := u.has[o.Digest]
	for b := start; b < end; b++ {
		hit = hit && w.has[o.Digest][b]
	}
	fetches := 0
	fetch := func(_ context.Context, off int64, p []byte) error {
		fetches++
		copy(p, o.bytes[off:])
		return nil
	}
	p, err := u.set.Read(w.t.Context(), o.Digest, off, n, fetch)
	if err == nil && !bytes.Equal(p, o.bytes[off:][:n]) {
		if hit {
			w.t.Errorf("read other bytes where nothing was damaged")
		}
		u.set.Forget(o.Digest, off, n)
		p, err = u.set.Read(w.t.Context(), o.Digest, off, n, fetch)
	}
	switch {
	case err != nil || !bytes.Equal(p, o.bytes[off:][:n]):
		w.t.Errorf("read other bytes: %v", err)
	case hit && fetches != 0:
		w.t.Errorf("%d fetches of what is there", fetches)
	case !u.has[o.Digest]:
		w.counts["not kept"]++
		return
	case hit:
		w.counts["hit"]++
		return
	case fetches > 1:
		w.t.Errorf("fetched %d times", fetches)
	case fetches == 0:
		w.counts["luck"]++ // what was damaged is in the same block, and was not read
		return
	}
	w.counts["fetch"]++
	for b := start; b < end; b++ {
		w.has[o.Digest][b] = true
	}
	w.used[o.Digest] = w.now
	must(w.t, os.Chtimes(filepath.Join(w.dir, fileName(o.Digest)), w.now, w.now))
}
