// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
)

func testPage() Page {
	generation := func(id string, pages, added int64) Generation {
		return Generation{ID: id, Scope: "Full", Created: time.Unix(0, 0), Measures: []node.Measure{
			{Part: "kernel", Size: 1 << 10, Stored: 1 << 10, New: 1 << 10},
			{Part: "pages", Size: 4 * pages, Stored: pages, New: added},
		}}
	}
	return Page{
		Manifest: &artifacts.Manifest{ID: "second", Scope: artifacts.Full, Sandbox: artifacts.Sandbox{
			ID: "web", Containers: []artifacts.Container{{ID: "web", Image: "<script>alert(1)</script>"}},
		}},
		Command:     "ctr-ateom run '<b>'",
		Generations: []Generation{generation("first", 1<<20, 1<<20), generation("second", 1<<20, 1<<10)},
	}
}

func TestPageIsWellFormedAndSelfContained(t *testing.T) {
	var out bytes.Buffer
	if err := testPage().Write(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	rects := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			switch e.Name.Local {
			case "rect":
				rects++
			case "script", "link", "img", "b":
				t.Errorf("the page has an element %q", e.Name.Local)
			}
		}
	}
	if rects != 8 {
		t.Errorf("%d bars, want 8: two for each of two parts in two generations", rects)
	}
	for _, want := range []string{"1.00 MiB, 2.00 KiB new", "first Full", "second Full", "&lt;script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "http") {
		t.Error("the page refers to something elsewhere")
	}
}

func TestBarsFillTheWidthWithTheLargestGeneration(t *testing.T) {
	d := testPage().draw()
	for i, r := range d.Rows {
		end := r.Stored[len(r.Stored)-1]
		if got := end.X + end.Width; got < width-1 || got > width+1 {
			t.Errorf("the stored bars of generation %d end at %.1f, want %d", i, got, width)
		}
	}
	if first, second := d.Rows[0].New[1].Width, d.Rows[1].New[1].Width; second*900 > first {
		t.Errorf("new pages of 1 KiB are %.2f wide beside %.2f for 1 MiB", second, first)
	}
}

func TestPageWithoutPartsIsDrawn(t *testing.T) {
	p := testPage()
	p.Generations = []Generation{{ID: "empty"}}
	if err := p.Write(io.Discard); err != nil {
		t.Error(err)
	}
}
