// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/bench/roof"
	"github.com/ateom/ateom/e2e/bench/stats"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example has a claim for each verdict, a missing peer and text that HTML must escape.
func example() *Report {
	pause := Row{
		ID: 2, Title: "Pause", How: "From the request until <free>.", Bound: "The disk bounds it.",
		Series: []Series{
			{Peer: "ateom", What: "64 MiB", Unit: "ms", Samples: []float64{100, 104, 98, 101, 99},
				CPU: []float64{0.1, 0.2, 0.1, 0.1, 0.1}, Bytes: []float64{1 << 26, 1 << 26},
				PeakRSS: []float64{10 << 20, 12 << 20}, PeakName: "ateom-gofer",
				Phases: []Phase{{Name: "freeze", Samples: []float64{0.2, 0.3, 0.2}}, {Name: "save", Samples: []float64{90}}}},
			{Peer: "raw", What: "64 MiB", Unit: "ms", Samples: []float64{120, 118, 122, 119, 121}},
			{Peer: "ateom", What: "1 GiB", Unit: "ms", Samples: []float64{900, 1300, 1020, 1000, 1040}},
			{Peer: "raw", What: "1 GiB", Unit: "ms", Samples: []float64{1000, 1000, 1000, 1000, 1000}},
		},
		Notes: []string{"Both write to one disk."},
	}
	pause.ClaimRatio("64 MiB", "ateom", "raw", 1.1)
	pause.ClaimRatio("1 GiB", "ateom", "raw", 1.03)
	pause.ClaimAtMost("64 MiB", "ateom", 0.99, 50)
	resume := Row{
		ID: 4, Title: "Resume", How: "Until the first 200.",
		Series: []Series{
			{Peer: "ateom", What: "1 GiB", Unit: "ms", Missing: "the shim is not built & so on"},
			{Peer: "hand", What: "1 GiB", Unit: "ms", Samples: []float64{400}},
		},
	}
	resume.ClaimRatio("1 GiB", "ateom", "hand", 0.35)
	return &Report{
		Version: "v0.0.1", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 90 * time.Second, Quick: true,
		Machine: roof.Machine{CPU: "Abacus", Cores: 2, Memory: 24 << 30, Kernel: "Linux 6.18", Disk: "ext4", Cgroup: "v2", Runsc: "v1", Load: 1.5},
		Roof:    []roof.Rate{{Name: "memcpy", Value: 7.5, Unit: "GB/s"}, {Name: "fsync", Value: 0.02, Unit: "ms"}},
		Rows:    []Row{pause, resume},
	}
}

func TestPagesAreAsTheGoldenFilesSay(t *testing.T) {
	r := example()
	for name, write := range map[string]func(io.Writer) error{
		"report.json": r.WriteJSON,
		"report.html": r.WriteHTML,
		"report.md":   r.WriteMarkdown,
		"report.txt":  func(w io.Writer) error { return WriteVerdicts(w, r) },
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("differs from %s (run with -update if that is meant):\n%s", path, diff)
			}
		})
	}
}

func TestJSONComesBackAsItWas(t *testing.T) {
	want := example()
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := ReadJSON(strings.NewReader("[]")); err == nil {
		t.Error("a list was read as a report")
	}
}

func TestVerdictsFollowPointAndInterval(t *testing.T) {
	tests := []struct {
		name   string
		a, b   []float64
		target float64
		want   Verdict
	}{
		{"all within", []float64{1, 1, 1}, []float64{2, 2, 2}, 0.6, Meets},
		{"exactly the target", []float64{1, 1, 1}, []float64{2, 2, 2}, 0.5, Meets},
		{"interval reaches beyond", []float64{1, 1, 9}, []float64{2, 2, 2}, 0.6, Likely},
		{"beyond", []float64{3, 3, 1}, []float64{2, 2, 2}, 1.1, Misses},
		{"no own samples", nil, []float64{2}, 1, NotMeasured},
		{"no samples to compare with", []float64{2}, nil, 1, NotMeasured},
		{"division by zero", []float64{2}, []float64{0}, 1, NotMeasured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Row{Series: []Series{{Peer: "a", Samples: tt.a}, {Peer: "b", Samples: tt.b}}}
			r.ClaimRatio("", "a", "b", tt.target)
			if got := r.Claims[0].Verdict; got != tt.want {
				t.Errorf("verdict %q of %+v, want %q", got, r.Claims[0].Found, tt.want)
			}
		})
	}
}

func TestClaimAboutAPeerThatIsNotThereIsNotMeasured(t *testing.T) {
	r := Row{Series: []Series{{Peer: "a", Samples: []float64{1}}}}
	r.ClaimRatio("", "a", "nobody", 1)
	r.ClaimAtMost("", "nobody", 0.5, 1)
	for _, c := range r.Claims {
		if c.Verdict != NotMeasured || c.Found != (stats.Interval{}) {
			t.Errorf("claim %q: %q, %v", c.Text, c.Verdict, c.Found)
		}
	}
}

// A page that fetches something would not be complete on a machine without
// network, and would tell others who reads it.
func TestPageNeedsNothingElse(t *testing.T) {
	var b bytes.Buffer
	if err := example().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?i)(src|href)=|url\(|@import|https?://`).FindString(b.String()); m != "" {
		t.Errorf("the page refers to something outside: %q", m)
	}
	if strings.Contains(b.String(), "<free>") {
		t.Error("text was not escaped")
	}
	d := xml.NewDecoder(&b)
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	svgs := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "svg" {
			svgs++
		}
	}
	if svgs != 4 {
		t.Errorf("%d plots, want one of the targets, two of row 2 and one of row 4", svgs)
	}
}

func TestAmountsHaveThreeDigitsAndAFittingUnit(t *testing.T) {
	tests := []struct {
		v    float64
		unit string
		want string
	}{
		{1234, "ms", "1234 ms"}, {12345, "ms", "12.3 s"}, {0.02, "ms", "20.0 µs"}, {0, "ms", "0 ms"}, {1.234, "ms", "1.23 ms"},
		{512, "bytes", "512 bytes"}, {65536, "bytes", "64.0 KiB"}, {1 << 30, "bytes", "1.00 GiB"},
		{0.354, "×", "0.35 ×"}, {0.00123, "×", "0.0012 ×"}, {7, "", "7.00"},
	}
	for _, tt := range tests {
		if got := Amount(tt.v, tt.unit); got != tt.want {
			t.Errorf("Amount(%v, %q) = %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
}
