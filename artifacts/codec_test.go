// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files of this version")

const (
	testID   ID = "01kdyak348sqpkh2h8vwsc9y34"
	parentID ID = "01kdyak348sqpkh2h8vwsc9y33"
)

// digestN returns a digest that is nobody's.
func digestN(n byte) (d Digest) {
	for i := range d {
		d[i] = n
	}
	return d
}

func fullManifest() *Manifest {
	return &Manifest{
		Format: FormatVersion, ID: testID, Parent: parentID,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Scope: Full,
		Sandbox: Sandbox{ID: "agent-1", Namespace: "k8s.io", Containers: []Container{
			{ID: "agent-1", Name: "main", Image: "docker.io/library/python:3", ImageDigest: digestN(9).String(), Args: []string{"python3", "-m", "http.server"}},
			{ID: "agent-2"},
		}},
		Runtime: &Runtime{Name: "runsc", Version: "release-20260905.0", SHA256: digestN(8).Hex()},
		Machine: &Machine{Arch: "amd64", CPUFeatures: []string{"avx", "sse"}, PageSize: 4096},
		Parts: []Part{
			{Name: PartKernel, Encoding: Chunks, Size: 100, Digest: digestN(1), StoredSize: 99, StoredDigest: digestN(2)},
			{Name: PartPagesMeta, Encoding: Chunks, Size: 10, Digest: digestN(3), StoredSize: 99, StoredDigest: digestN(4)},
			{Name: PartPages, Encoding: Chunks, Size: 1 << 30, Digest: digestN(5), StoredSize: 99, StoredDigest: digestN(6)},
			{Name: "durable/home", Encoding: TarZstd, Size: 10240, Digest: digestN(7), StoredSize: 300, StoredDigest: digestN(8), Files: 12},
		},
	}
}

func mustEncode(t testing.TB, m *Manifest) []byte {
	t.Helper()
	data, err := EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestManifestComesBack(t *testing.T) {
	m := fullManifest()
	data := mustEncode(t, m)
	got, err := DecodeManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("(-encoded +decoded):\n%s", diff)
	}
	if again := mustEncode(t, got); !bytes.Equal(again, data) {
		t.Errorf("encoding it again gives other bytes:\n%s", again)
	}
}

// TestGoldenManifestsStayReadable reads the manifests of all released versions, and
// compares what is written now with that of the present one.
func TestGoldenManifestsStayReadable(t *testing.T) {
	current := filepath.Join("testdata", "manifest-"+FormatVersion+".json")
	if *update {
		if err := os.WriteFile(current, mustEncode(t, fullManifest()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/manifest-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden manifests: %q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := DecodeManifest(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if file != current {
			continue
		}
		if diff := cmp.Diff(fullManifest(), m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		// A change of what is written takes a version of its own, and one more file.
		if diff := cmp.Diff(string(data), string(mustEncode(t, fullManifest()))); diff != "" {
			t.Errorf("%s (-golden +written):\n%s", file, diff)
		}
	}
}

// resealed returns data, whose content was changed, with a checksum that matches.
func resealed(data string) []byte {
	i := strings.LastIndex(data, sealStart)
	return seal([]byte(data[:i] + "\n}"))
}

func TestUnknownMinorFieldsAreKept(t *testing.T) {
	s := string(mustEncode(t, fullManifest()))
	s = strings.Replace(s, `"format": "1.0"`, `"format": "1.7"`, 1)
	s = strings.Replace(s, `"pageSize": 4096`, `"pageSize": 4096,
    "numa": {"nodes":[1,2]}`, 1)
	s = strings.Replace(s, `"files": 12`, `"files": 12,
      "acl": true`, 1)
	s = strings.Replace(s, sealStart, ",\n  \"zone\": \"a\""+sealStart, 1)
	m, err := DecodeManifest(resealed(s))
	if err != nil {
		t.Fatal(err)
	}
	out := string(mustEncode(t, m))
	for _, want := range []string{`"format": "1.7"`, `"numa": {`, `"acl": true`, `"zone": "a"`} {
		if !strings.Contains(out, want) {
			t.Errorf("re-encoded, %s is missing:\n%s", want, out)
		}
	}
	again, err := DecodeManifest([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Extra["zone"], again.Extra["zone"]); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFlippedBitOfAManifestIsRefused(t *testing.T) {
	data := mustEncode(t, fullManifest())
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			if _, err := DecodeManifest(bad); err == nil {
				t.Errorf("bit %d of byte %d (%q) flipped: taken", bit, i, data[i])
			}
		}
	}
	for n := range data {
		if _, err := DecodeManifest(data[:n]); err == nil {
			t.Errorf("cut at %d: taken", n)
		}
	}
}

func TestLyingManifestsAreRefused(t *testing.T) {
	part := func(change func(*Part)) func(*Manifest) {
		return func(m *Manifest) { change(&m.Parts[3]) }
	}
	for _, c := range []struct {
		name   string
		change func(*Manifest)
	}{
		{"no id", func(m *Manifest) { m.ID = "" }},
		{"upper case id", func(m *Manifest) { m.ID = ID(strings.ToUpper(string(testID))) }},
		{"id with dots", func(m *Manifest) { m.ID = "../../../etc/cron.d/aaaaaaa" }},
		{"own parent", func(m *Manifest) { m.Parent = m.ID }},
		{"bad parent", func(m *Manifest) { m.Parent = "x" }},
		{"no time", func(m *Manifest) { m.Created = time.Time{} }},
		{"scope None", func(m *Manifest) { m.Scope = None }},
		{"scope in lower case", func(m *Manifest) { m.Scope = "full" }},
		{"no sandbox", func(m *Manifest) { m.Sandbox.ID = "" }},
		{"sandbox with slash", func(m *Manifest) { m.Sandbox.ID = "a/b" }},
		{"sandbox dot-dot", func(m *Manifest) { m.Sandbox.ID = ".." }},
		{"namespace with NUL", func(m *Manifest) { m.Sandbox.Namespace = "a\x00b" }},
		{"long sandbox", func(m *Manifest) { m.Sandbox.ID = strings.Repeat("a", 256) }},
		{"a volume in memory with a path for a name", func(m *Manifest) {
			m.Sandbox.Pod = &Pod{Namespace: "n", Name: "p", Memory: map[string]int64{"../x": 1}}
		}},
		{"a volume in memory of no size", func(m *Manifest) {
			m.Sandbox.Pod = &Pod{Namespace: "n", Name: "p", Memory: map[string]int64{"x": -1}}
		}},
		{"container twice", func(m *Manifest) { m.Sandbox.Containers[1] = m.Sandbox.Containers[0] }},
		{"many containers", func(m *Manifest) {
			for i := range MaxContainers {
				m.Sandbox.Containers = append(m.Sandbox.Containers, Container{ID: fmt.Sprint("c", i)})
			}
		}},
		{"no runtime", func(m *Manifest) { m.Runtime = nil }},
		{"no machine", func(m *Manifest) { m.Machine = nil }},
		{"odd page size", func(m *Manifest) { m.Machine.PageSize = 4095 }},
		{"no pages", func(m *Manifest) { m.Parts = m.Parts[:2] }},
		{"part twice", func(m *Manifest) { m.Parts = append(m.Parts, m.Parts[3]) }},
		{"image part in scope Data", func(m *Manifest) { m.Scope = Data }},
		{"many parts", func(m *Manifest) {
			for i := range MaxParts {
				p := m.Parts[3]
				p.Name = fmt.Sprint(DurablePrefix, "v", i)
				m.Parts = append(m.Parts, p)
			}
		}},
		{"unknown part", part(func(p *Part) { p.Name = "swap" })},
		{"volume dot-dot", part(func(p *Part) { p.Name = "durable/.." })},
		{"volume with path", part(func(p *Part) { p.Name = "durable/a/b" })},
		{"volume with NUL", part(func(p *Part) { p.Name = "durable/a\x00" })},
		{"volume without name", part(func(p *Part) { p.Name = "durable/" })},
		{"volume in upper case", part(func(p *Part) { p.Name = "durable/Home" })},
		{"unknown encoding", part(func(p *Part) { p.Encoding = "zip" })},
		{"raw volume", part(func(p *Part) { p.Encoding = Raw })},
		{"pages in a tar", func(m *Manifest) { m.Parts[2].Encoding = TarZstd }},
		{"negative size", part(func(p *Part) { p.Size = -1 })},
		{"8 EiB", part(func(p *Part) { p.Size = 1<<63 - 1 })},
		{"sum of sizes", func(m *Manifest) { m.Parts[0].Size, m.Parts[1].Size = MaxPartSize, MaxPartSize }},
		{"negative stored size", part(func(p *Part) { p.StoredSize = -1 })},
		{"nothing stored", part(func(p *Part) { p.StoredSize = 0 })},
		{"no digest", part(func(p *Part) { p.Digest = Digest{} })},
		{"no stored digest", part(func(p *Part) { p.StoredDigest = Digest{} })},
		{"many files", part(func(p *Part) { p.Files = 1 << 40 })},
		{"two megabytes", func(m *Manifest) { m.Sandbox.Containers[0].Args = []string{strings.Repeat("x", 2<<20)} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fullManifest()
			c.change(m)
			if _, err := EncodeManifest(m); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("encode: %v, want invalid argument", err)
			}
			data, err := indented(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeManifest(seal(data)); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("decode: %v, want invalid argument", err)
			}
		})
	}
}

func TestBadJSONIsRefused(t *testing.T) {
	good := string(mustEncode(t, fullManifest()))
	replace := func(old, new string) []byte {
		if !strings.Contains(good, old) {
			t.Fatalf("the manifest has no %s", old)
		}
		return resealed(strings.Replace(good, old, new, 1))
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"null", []byte("null")},
		{"an array", []byte("[]")},
		{"a string", []byte(`"x"`)},
		{"not JSON", []byte("{")},
		{"two values", []byte(good + good)},
		{"text behind", []byte(good + "x")},
		{"key twice", replace(`"scope": "Full"`, `"scope": "Full", "scope": "Data"`)},
		{"key twice in another case", replace(`"scope": "Full"`, `"scope": "Full", "Scope": "Data"`)},
		{"key twice by escapes", replace(`"scope": "Full"`, `"scope": "Full", "\u0073cope": "Data"`)},
		{"key in another case", replace(`"scope":`, `"SCOPE":`)},
		{"key twice in a part", replace(`"files": 12`, `"files": 12, "files": 13`)},
		{"unknown major", replace(`"format": "1.0"`, `"format": "2.0"`)},
		{"no version", replace(`"format": "1.0"`, `"format": ""`)},
		{"odd version", replace(`"format": "1.0"`, `"format": "1.00"`)},
		{"signed version", replace(`"format": "1.0"`, `"format": "1.+1"`)},
		{"number for a string", replace(`"scope": "Full"`, `"scope": 1`)},
		{"string for a number", replace(`"pageSize": 4096`, `"pageSize": "4096"`)},
		{"fraction", replace(`"files": 12`, `"files": 12.5`)},
		{"overflow", replace(`"files": 12`, `"files": 99999999999999999999`)},
		{"digest in upper case", replace(digestN(7).String(), strings.ToUpper(digestN(7).String()))},
		{"short digest", replace(digestN(7).String(), digestN(7).String()[:70])},
		{"not UTF-8", replace(`"agent-1"`, "\"agent\xff\"")},
		{"deep nesting", replace(`"scope": "Full"`, `"scope": "Full", "x": `+strings.Repeat("[", 100)+strings.Repeat("]", 100))},
		{"very deep nesting", []byte(strings.Repeat("[", 900_000))},
		{"too long", append(bytes.Repeat([]byte{' '}, MaxManifestSize), good...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeManifest(c.data)
			want := error(errdefs.ErrInvalidArgument)
			if c.name == "unknown major" {
				want = errdefs.ErrNotImplemented
			}
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(mustEncode(f, fullManifest()))
	f.Add([]byte(`{"format":"1.0","parts":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeManifest(data)
		if err != nil {
			// The checksum keeps most inputs from what lies behind it.
			if i := bytes.LastIndexByte(data, '}'); i >= 0 {
				m, err = DecodeManifest(seal([]byte(string(bytes.TrimRight(data[:i], " \n")) + "\n}")))
			}
		}
		if err != nil || m == nil {
			return
		}
		out, err := EncodeManifest(m)
		if err != nil {
			// White space and escapes may make it longer than it was.
			if len(data) > MaxManifestSize/16 {
				return
			}
			t.Fatalf("encode what was decoded: %v", err)
		}
		again, err := DecodeManifest(out)
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if twice := mustEncode(t, again); !bytes.Equal(out, twice) {
			t.Fatalf("encoded once:\n%s\nand twice:\n%s", out, twice)
		}
	})
}
