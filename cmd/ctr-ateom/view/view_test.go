// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/containerd/console"
	"github.com/google/go-cmp/cmp"
)

func TestBytesHaveThreeDigits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1<<20 - 1: "1.00 MiB", 10 << 20: "10.0 MiB",
		64 << 20: "64.0 MiB", 100 << 20: "100 MiB", 1<<30 - 1: "1.00 GiB", 1<<63 - 1: "8.00 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDurationSuitsItsSize(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00 ms", 123 * time.Microsecond: "0.12 ms", 1230 * time.Microsecond: "1.2 ms",
		182400 * time.Microsecond: "182 ms", 1520 * time.Millisecond: "1.52 s", 61 * time.Second: "1m1s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestTableKeepsHostileCellsInTheirPlace(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, []string{"A", "B"}, [][]string{{"x\ty\n", "\x1b[2Jz"}, {"long cell", "é"}}); err != nil {
		t.Fatal(err)
	}
	want := "A          B\nx\uFFFDy\uFFFD       \uFFFD[2Jz\nlong cell  é\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestFieldsLeavesOutWhatIsEmpty(t *testing.T) {
	var out bytes.Buffer
	if err := Fields(&out, [2]string{"id", "1"}, [2]string{"parent", ""}, [2]string{"scope", "Full"}); err != nil {
		t.Fatal(err)
	}
	if want := "id     1\nscope  Full\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestProgressInAFileIsOneLineAPhase(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := NewProgress(f)
	p.Update("capture", 0, 0)
	for done := int64(0); done <= 4; done++ {
		p.Update("upload", done<<20, 4<<20)
	}
	p.End(true)
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := "capture\nupload: 4.00 MiB\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgressOnATerminalIsBars(t *testing.T) {
	for name, ok := range map[string]bool{"success": true, "failure": false} {
		t.Run(name, func(t *testing.T) {
			host, path, err := console.NewPty()
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			if err := host.Resize(console.WinSize{Width: 100, Height: 20}); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			seen := make(chan string, 1)
			go func() {
				var all bytes.Buffer
				// The read ends with an error when the other side is closed.
				_, _ = all.ReadFrom(host)
				seen <- all.String()
			}()
			p := NewProgress(f)
			p.Update("capture", 1<<20, 1<<20)
			p.Update("upload", 1<<20, 4<<20)
			p.End(ok)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			got := <-seen
			for _, want := range []string{"capture", "upload", "1.0 MiB"} {
				if !bytes.Contains([]byte(got), []byte(want)) {
					t.Errorf("the terminal shows no %q: %q", want, got)
				}
			}
		})
	}
}
