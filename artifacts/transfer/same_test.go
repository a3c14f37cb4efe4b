// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// plant makes the same tree below dir whatever the process's umask is and in
// whatever order the file system has it.
func plant(t *testing.T, dir string, order *rand.Rand) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dirs := []string{"a", "b", "b/deep", "c"}
	for _, name := range dirs {
		must(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	type entry struct {
		name, content string
		mode          os.FileMode
	}
	files := []entry{{"a/big", strings.Repeat("some text\n", 300_000), 0o644}}
	for i := range 200 {
		name := filepath.Join(dirs[i%len(dirs)], "f"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+string(rune('0'+i/26)))
		files = append(files, entry{name, strings.Repeat(name, i), []os.FileMode{0o600, 0o644, 0o755, 0o4755}[i%4]})
	}
	order.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		must(os.WriteFile(path, []byte(f.content), 0o600))
		must(unix.Chmod(path, uint32(f.mode)))
	}
	must(os.Link(filepath.Join(dir, "a/big"), filepath.Join(dir, "c/again")))
	must(os.Symlink("../a/big", filepath.Join(dir, "b/link")))
	must(unix.Setxattr(filepath.Join(dir, "a/big"), "user.x", []byte("y"), 0))
	then := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for _, f := range files {
		must(os.Chtimes(filepath.Join(dir, f.name), then, then))
	}
	ts := []unix.Timespec{unix.NsecToTimespec(then.UnixNano()), unix.NsecToTimespec(then.UnixNano())}
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "b/link"), ts, unix.AT_SYMLINK_NOFOLLOW))
	for _, name := range append(dirs, ".") {
		must(unix.Chmod(filepath.Join(dir, name), 0o751))
		must(os.Chtimes(filepath.Join(dir, name), then, then))
	}
}

// TestTheSameTreeHasTheSameDigests on two file systems, under two umasks, at two
// times, with other numbers of processors, written in another order.
func TestTheSameTreeHasTheSameDigests(t *testing.T) {
	image := testImage(4, 300)
	var parts [2][]artifacts.Part
	var objects [2][]string
	for i, machine := range []struct {
		base       string
		umask      int
		at         time.Time
		processors int
	}{
		{t.TempDir(), 0o022, epoch, 1},
		{shm(t), 0o077, epoch.Add(1000 * time.Hour), 4},
	} {
		func() {
			defer unix.Umask(unix.Umask(machine.umask))
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(machine.processors))
			n := newNode(t)
			for v := range n.volumes {
				n.volumes[v].Path = filepath.Join(machine.base, n.volumes[v].Name)
				if err := os.Mkdir(n.volumes[v].Path, 0o700); err != nil {
					t.Fatal(err)
				}
				plant(t, n.volumes[v].Path, rand.New(rand.NewPCG(uint64(i), uint64(v))))
			}
			s := openStore(t, fileURL(t.TempDir()))
			m, _ := n.commit(s, artifacts.Full, machine.at, image, "")
			parts[i] = m.Parts
			for _, key := range keys(t, s, "") {
				// What is not named by its content is named by the snapshot.
				objects[i] = append(objects[i], strings.ReplaceAll(key, string(m.ID), "ID"))
			}
		}()
	}
	if diff := cmp.Diff(parts[0], parts[1]); diff != "" {
		t.Errorf("parts (-first machine +second):\n%s", diff)
	}
	if diff := cmp.Diff(objects[0], objects[1]); diff != "" {
		t.Errorf("objects (-first machine +second):\n%s", diff)
	}
}

// shm returns a directory on a tmpfs.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ateom-same-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
