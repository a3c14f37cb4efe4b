// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// A peer is the other end of a seat that runs in this process.
type peer struct {
	t     *testing.T
	sock  *unet.Socket
	ended chan error
}

// takeSeat serves cfg to a peer. When the test ends the peer hangs up, and
// everything that the seat has started must end too.
func takeSeat(t *testing.T, cfg job.Seat) *peer {
	t.Helper()
	before := runtime.NumGoroutine()
	ours, theirs, err := unet.SocketPair(false)
	must(t, err)
	cfg.Version = job.SeatVersion
	if cfg.Pace == "" {
		cfg.Pace = job.PaceReady
	}
	impl, err := openFiles(context.Background(), &cfg, nil, nil, newStatus("", cfg.Mode))
	must(t, err)
	p := &peer{t: t, sock: theirs, ended: make(chan error, 1)}
	go func() { p.ended <- serveFiles(context.Background(), ours, impl) }()
	t.Cleanup(func() {
		defer theirs.Close()
		_ = theirs.Shutdown() // a client may have closed it; its own goroutine sees this, not a close
		select {
		case <-p.ended:
		case <-time.After(30 * time.Second):
			buf := make([]byte, 1<<20)
			t.Fatalf("the seat does not end:\n%s", buf[:runtime.Stack(buf, true)])
		}
		if err := poll(30*time.Second, func() error {
			if n := runtime.NumGoroutine(); n > before {
				buf := make([]byte, 1<<20)
				return fmt.Errorf("%d goroutines, there were %d:\n%s", n, before, buf[:runtime.Stack(buf, true)])
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	return p
}

// client speaks the protocol as runsc does. The peer's socket becomes its own.
func (p *peer) client() *stateipc.AsyncFileClient {
	p.t.Helper()
	c, err := stateipc.NewAsyncFileClient(urpc.NewClient(p.sock))
	must(p.t, err)
	p.t.Cleanup(c.DecRef)
	return c
}

// sampleSnapshot saves size random bytes as every part and returns the
// directory and the bytes.
func sampleSnapshot(t testing.TB, size int) (dir string, content []byte) {
	t.Helper()
	dir = privateDir(t)
	memory := newMemory(t, size)
	d, err := openDraft(dir, false)
	must(t, err)
	defer d.close()
	for _, name := range imageFiles() {
		part, err := partOf(name)
		must(t, err)
		image, err := d.create(name)
		must(t, err)
		stream(t, newWriter(part, image, d, newStatus("", job.Save)), memory, size)
	}
	content = make([]byte, size)
	_, err = memory.ReadAt(content, 0)
	must(t, err)
	return dir, content
}

func TestSeatRefusesFilesThatAreNotOfACheckpoint(t *testing.T) {
	dir, _ := sampleSnapshot(t, 4096)
	must(t, os.WriteFile(filepath.Join(dir, "image", "secret"), []byte("x"), 0o600))
	for _, tc := range []struct {
		name string
		mode job.Mode
		open func(c *stateipc.AsyncFileClient, name string) error
	}{
		{"restore", job.Restore, func(c *stateipc.AsyncFileClient, name string) error { _, err := c.OpenRead(name); return err }},
		{"save", job.Save, func(c *stateipc.AsyncFileClient, name string) error { _, err := c.OpenWrite(name); return err }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := takeSeat(t, job.Seat{Mode: tc.mode, Dir: dir}).client()
			for _, name := range []string{
				"", ".", "..", "secret", "gcs_opts.json", "manifest.json", "/etc/passwd", "../recipes/pages",
				"image/pages.img", "./pages.img", "pages.img/", "pages.img\x00", "PAGES.IMG", "fscheckpoint.pb", "multitar.img",
				strings.Repeat("pages.img", 1000),
			} {
				if err := tc.open(c, name); err == nil {
					t.Errorf("opened %.40q", name)
				}
			}
		})
	}
}

func TestSeatKeepsToItsDirection(t *testing.T) {
	dir, _ := sampleSnapshot(t, 4096)
	if _, err := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir}).client().OpenWrite("pages.img"); err == nil {
		t.Error("a restore let itself be written to")
	}
	if _, err := takeSeat(t, job.Seat{Mode: job.Save, Dir: privateDir(t)}).client().OpenRead("pages.img"); err == nil {
		t.Error("a save let itself be read")
	}
	after, _ := os.ReadFile(filepath.Join(dir, "image", "pages.img"))
	if len(after) != 4096 {
		t.Errorf("pages.img has %d bytes now", len(after))
	}
}

func TestSeatOpensAFileOnce(t *testing.T) {
	dir, _ := sampleSnapshot(t, 4096)
	c := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir}).client()
	f, err := c.OpenRead("pages.img")
	must(t, err)
	defer f.Close()
	if _, err := c.OpenRead("pages.img"); err == nil {
		t.Error("opened pages.img twice")
	}
}

// readAll reads n bytes from off of a served file into a fresh memory file.
func readAll(t *testing.T, f stateio.AsyncReader, off, n int64) ([]byte, []stateio.Completion) {
	t.Helper()
	size := (n + pageSize - 1) / pageSize * pageSize
	fd, err := unix.MemfdCreate("destination", unix.MFD_CLOEXEC)
	must(t, err)
	dst := os.NewFile(uintptr(fd), "destination")
	defer dst.Close()
	must(t, dst.Truncate(size))
	df, err := f.RegisterDestinationFD(int32(fd), uint64(size), nil)
	must(t, err)
	var all []stateio.Completion
	for at := int64(0); at < n; {
		step := min(n-at, int64(f.MaxReadBytes()))
		f.AddRead(0, off+at, df, memmap.FileRange{Start: uint64(at), End: uint64(at + step)}, nil)
		cs, err := f.Wait(nil, 1)
		must(t, err)
		all = append(all, cs...)
		at += step
	}
	got := make([]byte, n)
	_, err = dst.ReadAt(got, 0)
	must(t, err)
	return got, all
}

func TestSeatReadsWithinTheFileOnly(t *testing.T) {
	const size = 3*chunkSize + 4096
	dir, content := sampleSnapshot(t, size)
	f, err := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir}).client().OpenRead("pages.img")
	must(t, err)
	defer f.Close()
	for _, tc := range []struct {
		name   string
		off, n int64
		want   []byte
		eof    bool
	}{
		{"all", 0, size, content, false},
		{"across chunks, unaligned", chunkSize - 7, 20, content[chunkSize-7 : chunkSize+13], false},
		{"one byte at the end", size - 1, 1, content[size-1:], false},
		{"across the end", size - 10, 100, content[size-10:], true},
		{"at the end", size, 10, nil, true},
		{"far behind the end", 1 << 62, 10, nil, true},
		{"negative", -1, 10, nil, true},
		{"most negative", -1 << 63, 10, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, cs := readAll(t, f, tc.off, tc.n)
			if !bytes.Equal(got[:len(tc.want)], tc.want) {
				t.Error("read other bytes")
			}
			moved := uint64(0)
			for _, c := range cs {
				moved += c.N
			}
			if last := cs[len(cs)-1]; moved != uint64(len(tc.want)) || (last.Err == io.EOF) != tc.eof {
				t.Errorf("moved %d bytes with error %v, want %d", moved, last.Err, len(tc.want))
			}
		})
	}
}

func TestSeatOutlivesAClientFileThatShrinks(t *testing.T) {
	memory := newMemory(t, 4*chunkSize)
	status := filepath.Join(t.TempDir(), "status")
	f, err := takeSeat(t, job.Seat{Mode: job.Save, Dir: privateDir(t), Status: status}).client().OpenWrite("pages.img")
	must(t, err)
	src, err := f.RegisterSourceFD(int32(memory.Fd()), 4*chunkSize, nil)
	must(t, err)
	must(t, memory.Truncate(chunkSize))
	f.AddWrite(0, src, memmap.FileRange{Start: 0, End: 4 * chunkSize}, nil)
	cs, err := f.Wait(nil, 1)
	must(t, err)
	if cs[0].Err == nil {
		t.Error("bytes that are not there were saved")
	}
	must(t, f.Close())
}

func TestSeatRefusesClientFilesThatAreNoMemory(t *testing.T) {
	dir, _ := sampleSnapshot(t, 4096)
	f, err := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir}).client().OpenRead("pages.img")
	must(t, err)
	defer f.Close()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	readOnly, err := os.Open(filepath.Join(dir, "image", "pages.img"))
	must(t, err)
	defer readOnly.Close()
	if _, err := f.RegisterDestinationFD(int32(w.Fd()), 4096, nil); err == nil {
		t.Error("registered a pipe")
	}
	if _, err := f.RegisterDestinationFD(int32(readOnly.Fd()), 4096, nil); err == nil {
		t.Error("registered a file that cannot be written")
	}
	memory := newMemory(t, 4096)
	if _, err := f.RegisterDestinationFD(int32(memory.Fd()), 1<<63, nil); err == nil {
		t.Error("registered more than the address space")
	}
}

func TestSeatEndsWhenThePeerTalksNonsense(t *testing.T) {
	dir, _ := sampleSnapshot(t, 4096)
	for name, line := range map[string]string{
		"not JSON":          "\x00\xff\xfe",
		"unknown method":    `{"method":"AsyncFileServer.Stop","arg":{}}`,
		"unexported":        `{"method":"asyncFileServer.Destroy","arg":{}}`,
		"wrong types":       `{"method":"AsyncFileServer.Open","arg":{"path":7,"mode":"x"}}`,
		"unknown mode":      `{"method":"AsyncFileServer.Open","arg":{"path":"pages.img","mode":9}}`,
		"unknown handle":    `{"method":"AsyncFileServer.Close","arg":{"handle":77}}`,
		"file not passed":   `{"method":"AsyncFileServer.RegisterClientFile","arg":{"handle":0,"size":4096}}`,
		"huge number":       `{"method":"AsyncFileServer.Close","arg":{"handle":99999999999999999999}}`,
		"deep":              strings.Repeat("[", 100000),
		"random":            random(t, 4096),
		"a message, halved": `{"method":"AsyncFileServer.Op`,
	} {
		t.Run(name, func(t *testing.T) {
			p := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir})
			w := p.sock.Writer(true)
			if _, err := w.WriteVec([][]byte{[]byte(line)}); err != nil {
				t.Fatal(err)
			}
			// The clean-up hangs up and sees that the seat ends.
		})
	}
}

// random returns n random bytes.
func random(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := rand.Read(b)
	must(t, err)
	return string(b)
}

func TestSeatEndsWhenThePeerHangsUpInTheMiddle(t *testing.T) {
	const size = 8 << 20
	t.Run("restore", func(t *testing.T) {
		dir, _ := sampleSnapshot(t, size)
		f, err := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir, Pace: job.PaceLazy}).client().OpenRead("pages.img")
		must(t, err)
		memory := newMemory(t, size)
		df, err := f.RegisterDestinationFD(int32(memory.Fd()), size, nil)
		must(t, err)
		step := f.MaxReadBytes()
		for id := range f.MaxParallel() {
			at := uint64(id) * step
			f.AddRead(id, int64(at), df, memmap.FileRange{Start: at, End: at + step}, nil)
		}
		_, err = f.Wait(nil, 1)
		must(t, err)
		// Nobody waits for the rest: the clean-up hangs up.
	})
	t.Run("save", func(t *testing.T) {
		dir := privateDir(t)
		f, err := takeSeat(t, job.Seat{Mode: job.Save, Dir: dir}).client().OpenWrite("pages.img")
		must(t, err)
		memory := newMemory(t, size)
		sf, err := f.RegisterSourceFD(int32(memory.Fd()), size, nil)
		must(t, err)
		for id := range size / saveBytes {
			at := uint64(id) * saveBytes
			f.AddWrite(id, sf, memmap.FileRange{Start: at, End: at + saveBytes}, nil)
		}
		_, err = f.Wait(nil, 1)
		must(t, err)
		must(t, f.Close())
		if exists(t, filepath.Join(dir, job.PartFile(artifacts.PartPages))) {
			t.Error("a part that was not finalized is described as whole")
		}
	})
}
