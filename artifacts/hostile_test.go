// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// maxExtra bounds what refusing an object may allocate, in bytes.
const maxExtra = 64 << 20

// Objects that mean to cost memory are refused within a bound, however their
// checksums fit. What is measured is all that was allocated meanwhile, which is
// more than was ever needed at a time.
func TestHostileObjectsCostLittleMemory(t *testing.T) {
	fill := func(n int, each func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			b.WriteString(each(i))
		}
		return b.String()
	}
	same := func(s string) func(int) string { return func(int) string { return s } }
	const room = MaxManifestSize - 1000
	object := func(value string) []byte {
		return seal([]byte("{\n  \"format\": \"1.0\",\n  \"parts\": " + value + "\n}"))
	}
	manifest := func(data []byte) func() error {
		return func() error { _, err := DecodeManifest(data); return err }
	}
	header := binary.LittleEndian.AppendUint16([]byte("ATEOMRCP"), 1)
	header = binary.LittleEndian.AppendUint16(header, 1)
	header = binary.LittleEndian.AppendUint32(header, MaxChunks)
	header = binary.LittleEndian.AppendUint32(header, 1<<16)
	header = append(header, make([]byte, 12)...)
	for name, decode := range map[string]func() error{
		"nested arrays":     manifest(object(strings.Repeat("[", room/2) + strings.Repeat("]", room/2))),
		"nested objects":    manifest(object(strings.Repeat(`{"a":`, room/6) + "0" + strings.Repeat("}", room/6))),
		"empty parts":       manifest(object("[" + fill(room, same("{},")) + "{}]")),
		"null parts":        manifest(object("[" + fill(room, same("null,")) + "null]")),
		"parts of text":     manifest(object("[" + fill(room, same(`"",`)) + `""]`)),
		"many keys":         manifest(object("{" + fill(room, func(i int) string { return fmt.Sprintf("\"%d\":0,", i) }) + `"":0}`)),
		"one long text":     manifest(object(`"` + strings.Repeat(`\u0000`, room/6) + `"`)),
		"one long number":   manifest(object(strings.Repeat("9", room))),
		"ten million parts": manifest(object("[" + strings.Repeat("{},", 10_000_000) + "{}]")),
		"a recipe of which only the head comes": func() error {
			_, err := DecodeRecipe(bytes.NewReader(header))
			return err
		},
		"a recipe that ends among its packs": func() error {
			_, err := DecodeRecipe(bytes.NewReader(append(bytes.Clone(header), bytes.Repeat([]byte{1}, 36*1000)...)))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := decode()
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("it was taken")
			}
			if extra := after.TotalAlloc - before.TotalAlloc; extra > maxExtra {
				t.Errorf("it cost %d MiB, more than %d", extra>>20, maxExtra>>20)
			} else {
				t.Logf("%d KiB: %.200v", extra>>10, err)
			}
		})
	}
}
