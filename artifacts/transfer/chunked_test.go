// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/durabledir"
)

// fillVolume makes some large files and many small ones, bytes in all.
func (n *node) fillVolume(volume int, bytes int) {
	n.t.Helper()
	rng := rand.NewChaCha8([32]byte{byte(volume)})
	content := make([]byte, bytes/4)
	for i := range 2 {
		rng.Read(content)
		n.write(volume, fmt.Sprintf("large-%d", i), string(content))
	}
	const files = 400
	for i := range files {
		small := content[:bytes/2/files]
		rng.Read(small)
		n.write(volume, fmt.Sprintf("dir-%d/file-%d", i%7, i), string(small))
	}
}

// archive returns the tar stream of a volume in a store.
func archive(t *testing.T, s bucket.Store, m *artifacts.Manifest, volume string) []byte {
	t.Helper()
	for _, p := range m.Parts {
		if p.Name != artifacts.DurablePrefix+volume {
			continue
		}
		a, err := OpenVolume(t.Context(), s, m.ID, p)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		data, err := io.ReadAll(a)
		if err == nil {
			err = a.Check()
		}
		if err != nil || int64(len(data)) != p.Size {
			t.Fatalf("%d bytes of %d, %v", len(data), p.Size, err)
		}
		return data
	}
	t.Fatalf("no volume %q", volume)
	return nil
}

// A volume's archive is the same bytes in both encodings: those of a capture.
func TestBothEncodingsHoldTheCapture(t *testing.T) {
	for encoding, plain := range encodings {
		t.Run(string(encoding), func(t *testing.T) {
			s := openStore(t, "mem://")
			here, there := newNode(t), newNode(t)
			here.plain = plain
			here.fillVolume(0, 8<<20)
			here.write(1, "zeros", string(make([]byte, 3<<20)))
			m, _ := here.commit(s, artifacts.Data, epoch, nil, "")
			for i, v := range here.volumes {
				if m.Parts[i].Encoding != encoding {
					t.Errorf("part %q has encoding %q", m.Parts[i].Name, m.Parts[i].Encoding)
				}
				if !bytes.Equal(capture(t, v.Path), archive(t, s, m, v.Name)) {
					t.Errorf("volume %q is not what Capture makes", v.Name)
				}
			}
			if _, err := Verify(t.Context(), s, m.ID, Deep, nil); err != nil {
				t.Error(err)
			}
			if _, warnings, err := there.fetch(s, m.ID, false); err != nil || len(warnings) > 0 {
				t.Fatalf("fetch: %q, %v", warnings, err)
			}
			if !maps.Equal(here.tree(), there.tree()) {
				t.Error("the fetched volumes differ")
			}
		})
	}
}

// What the parent has is not sent again: nothing of an unchanged volume, and of
// one that changed by a hundredth about that.
func TestUnchangedChunksOfVolumesAreNotSentAgain(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	n := newNode(t)
	n.plain = 0
	const size = 64 << 20
	n.fillVolume(0, size)
	first, _ := n.commit(s, artifacts.Data, epoch, nil, "")
	second, sent := n.commit(s, artifacts.Data, epoch.Add(time.Second), nil, first.ID)
	if sent > 16<<10 {
		t.Errorf("unchanged, %d bytes were sent", sent)
	}
	for i := range 4 { // a hundredth: of small files, and in the middle of a large one
		n.write(0, fmt.Sprintf("dir-%d/file-%d", i, i), strings.Repeat("changed", 8<<10))
	}
	f, err := os.OpenFile(filepath.Join(n.volumes[0].Path, "large-1"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(storetest.Bytes(9, size/200), size/10)
	if closeErr := f.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	third, sent := n.commit(s, artifacts.Data, epoch.Add(2*time.Second), nil, second.ID)
	if sent > size*3/100 {
		t.Errorf("after a change of a hundredth, %d bytes of %d were sent", sent, size)
	}
	there := newNode(t)
	if _, _, err := there.fetch(s, third.ID, false); err != nil || !maps.Equal(n.tree(), there.tree()) {
		t.Errorf("the fetched volumes differ: %v", err)
	}
}

// waitUntilAtRest waits until nothing of a volume has changed lately: what has
// is read again by any commit.
func waitUntilAtRest() {
	time.Sleep(3100 * time.Millisecond) // how long ago a file has changed is what is tested
}

// bytesRead returns how many bytes this process has read from files.
func bytesRead(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "rchar: ")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSecondCommitReadsOnlyWhatMayHaveChanged(t *testing.T) {
	s := openStore(t, "mem://")
	n := newNode(t)
	n.plain, n.indexes = 0, filepath.Join(t.TempDir(), "indexes")
	const size = 32 << 20
	n.fillVolume(0, size)
	waitUntilAtRest()
	first, _ := n.commit(s, artifacts.Data, epoch, nil, "")

	// Of the same size and time, yet another content.
	name := filepath.Join(n.volumes[0].Path, "dir-3/file-3")
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	n.write(0, "dir-3/file-3", strings.Repeat("x", int(st.Size())))
	if err := os.Chtimes(name, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	before := bytesRead(t)
	second, sent := n.commit(s, artifacts.Data, epoch.Add(time.Second), nil, first.ID)
	if read := bytesRead(t) - before; read > size/4 {
		t.Errorf("%d bytes of %d were read again", read, size)
	}
	if sent > 1<<20 {
		t.Errorf("%d bytes were sent", sent)
	}
	if !bytes.Equal(capture(t, n.volumes[0].Path), archive(t, s, second, "home")) {
		t.Error("the volume is not what Capture makes")
	}

	// Cut as by a commit that has no index: the same digest.
	again, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	n.indexes = again
	third, _ := n.commit(s, artifacts.Data, epoch.Add(2*time.Second), nil, "")
	if second.Parts[0].Digest != third.Parts[0].Digest {
		t.Error("with an index the volume is cut in other places")
	}

	// An index of another archive, or a damaged one, is not used.
	file := indexes(again).path("home")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"damaged": append([]byte{good[0] ^ 1}, good[1:]...), "cut": good[:len(good)/2], "empty": nil, "good": good} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		parent := third.ID
		if name == "good" {
			parent = first.ID // its archive is not the one that the index describes
		}
		before := bytesRead(t)
		m, _ := n.commit(s, artifacts.Data, epoch.Add(time.Duration(10+len(bad))*time.Second), nil, parent)
		if m.Parts[0].Digest != third.Parts[0].Digest || bytesRead(t)-before < size {
			t.Errorf("a commit has used an index that is %s, or another archive's", name)
		}
	}
}

// TestTwentyGenerationsOfVolumesStayExactAndCheap restores a volume on another
// node, changes and commits it, twenty times: the files stay exact, and what
// goes to and comes from the store stays the same.
func TestTwentyGenerationsOfVolumesStayExactAndCheap(t *testing.T) {
	url, _ := storetest.S3(t)
	s := bucket.Count(openStore(t, url))
	here := newNode(t)
	here.fillVolume(0, 16<<20)
	parent := artifacts.ID("")
	var sent, received []int64
	for generation := range 20 {
		here.plain = 0
		here.write(0, fmt.Sprintf("dir-%d/file-%d", generation%7, generation), string(storetest.Bytes(byte(generation), 40_000)))
		here.write(0, fmt.Sprintf("dir-%d/new-%d", generation%7, generation), "new")
		m, n := here.commit(s, artifacts.Data, epoch.Add(time.Duration(generation)*time.Second), nil, parent)
		before := s.Received()
		there := newNode(t)
		if _, _, err := there.fetch(s, m.ID, false); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(here.tree(), there.tree()) || !bytes.Equal(archive(t, s, m, "home"), capture(t, there.volumes[0].Path)) {
			t.Fatalf("generation %d is another one", generation)
		}
		sent, received = append(sent, n), append(received, s.Received()-before)
		here, parent = there, m.ID
	}
	if worst := sent[0] / 10; sent[1] > worst || sent[19] > worst || received[19] > received[0]*11/10 {
		t.Errorf("bytes sent a generation: %d, received: %d", sent, received)
	}
}

// capture returns the archive of a volume at rest.
func capture(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := durabledir.Capture(t.Context(), dir, &b, durabledir.CaptureOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A stream hands out the same bytes wherever it is read from.
func TestStreamSeeks(t *testing.T) {
	s := openStore(t, "mem://")
	n := newNode(t)
	n.plain = 0
	n.fillVolume(0, 24<<20)
	n.write(0, "m-zeros", string(make([]byte, 8<<20)))
	m, _ := n.commit(s, artifacts.Data, epoch, nil, "")
	recipe, err := GetRecipe(t.Context(), s, m.Parts[0])
	if err != nil {
		t.Fatal(err)
	}
	want := archive(t, s, m, "home")
	counted := bucket.Count(s)
	stream := NewStream(t.Context(), counted, recipe)
	defer stream.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		offset := rng.Int64N(int64(len(want)) + 1)
		length := min(rng.IntN(100_000), len(want)-int(offset))
		at, err := stream.Seek(offset, io.SeekStart)
		if err != nil || at != offset {
			t.Fatalf("seek to %d: %d, %v", offset, at, err)
		}
		got := make([]byte, length)
		if _, err := io.ReadFull(stream, got); err != nil || !bytes.Equal(got, want[offset:][:length]) {
			t.Fatalf("%d bytes at %d differ: %v", length, offset, err)
		}
	}
	if _, err := stream.Seek(1, io.SeekEnd); err == nil {
		t.Error("seek behind the end succeeded")
	}
}
