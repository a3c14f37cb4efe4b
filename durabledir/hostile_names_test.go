// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"fmt"
	"strings"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// everyType makes an entry of each type with one name.
func everyType(name string) map[string]raw {
	return map[string]raw{
		"file":      fileEntry(name, "x"),
		"hard link": linkEntry(name, "f"),
		"symlink":   symlinkEntry(name, "f"),
		"directory": dirEntry(name + "/"),
		"FIFO":      {flag: '6', name: name},
		"sparse":    sparseEntry(name, 1, "1\n0\n1\n", "x"),
		"pax path":  fileEntry("ok", "x", rec("path", name)),
	}
}

// names makes the cases that differ in one illegal name.
func names(illegal ...string) []hostile {
	var cases []hostile
	for _, name := range illegal {
		for kind, e := range everyType(name) {
			cases = append(cases, hostile{name: fmt.Sprintf("%s %.20q", kind, name), archive: tarOf(fileEntry("f", ""), e), want: paxtar.ErrName})
		}
	}
	return cases
}

func absoluteNames() []hostile {
	return append(names("/etc/passwd", "//x"),
		hostile{name: "prefix", archive: tarOf(raw{flag: '0', prefix: "/etc", name: "passwd"}), want: paxtar.ErrName},
		hostile{name: "target of a hard link", archive: tarOf(linkEntry("l", "/etc/passwd")), want: paxtar.ErrName},
		hostile{name: "linkpath of a hard link",
			archive: tarOf(raw{flag: '1', name: "l", linkname: "f", records: []string{rec("linkpath", "/etc/passwd")}}), want: paxtar.ErrName},
	)
}

func dotDot() []hostile {
	cases := names("../victim", "a/../../victim", "./../victim", "..")
	for _, name := range []string{"a/..", "a/./b", "a//b", "././a", "a/", ".", "", "./"} {
		cases = append(cases, hostile{name: fmt.Sprintf("file %q", name), archive: tarOf(dirEntry("a"), fileEntry(name, "x")), want: paxtar.ErrName})
	}
	for _, name := range []string{"a/../", "a/./", "a//", "./.", "../", "./../", "/"} {
		cases = append(cases, hostile{name: fmt.Sprintf("directory %q", name), archive: tarOf(dirEntry("a"), dirEntry(name)), want: paxtar.ErrName})
	}
	return append(cases,
		hostile{name: "prefix", archive: tarOf(raw{flag: '0', prefix: "..", name: "victim"}), want: paxtar.ErrName},
		hostile{name: "prefix and name", archive: tarOf(raw{flag: '0', prefix: "a/..", name: "../victim"}), want: paxtar.ErrName},
		hostile{name: "NUL in a pax path", archive: tarOf(fileEntry("a", "x", rec("path", "a\x00/../../victim"))), want: paxtar.ErrName},
		hostile{name: "NUL in a directory's pax path",
			archive: tarOf(raw{flag: '5', name: "a", records: []string{rec("path", "a\x00b/")}}), want: paxtar.ErrName},
		hostile{name: "NUL in a sparse name", archive: tarOf(sparseEntry("a\x00b", 1, "1\n0\n1\n", "x")), want: paxtar.ErrName},
		hostile{name: "element of 256 bytes", archive: tarOf(fileEntry("a", "x", rec("path", strings.Repeat("n", 256)))), want: paxtar.ErrName},
	)
}

func symlinkEscapes() []hostile {
	var cases []hostile
	for _, to := range []string{"..", "/", "../dir", "."} {
		link := symlinkEntry("s", to)
		for kind, e := range everyType("s/victim") {
			if kind == "hard link" {
				continue // made last, and of another reason
			}
			cases = append(cases, hostile{name: fmt.Sprintf("%s through a symlink to %q", kind, to), archive: tarOf(fileEntry("f", ""), link, e), want: ErrParent})
		}
		cases = append(cases, hostile{name: fmt.Sprintf("hard link made through a symlink to %q", to),
			archive: tarOf(fileEntry("f", ""), link, linkEntry("s/new", "f")), want: ErrParent})
	}
	return append(cases,
		hostile{name: "through two symlinks", archive: tarOf(dirEntry("d"), symlinkEntry("d/a", ".."), symlinkEntry("d/b", "a/.."),
			fileEntry("d/b/victim", "x")), want: ErrParent},
		hostile{name: "through a symlink deep down", archive: tarOf(dirEntry("d"), dirEntry("d/e"), symlinkEntry("d/e/s", "../../.."),
			fileEntry("d/e/s/victim", "x")), want: ErrParent},
		hostile{name: "file over a symlink", archive: tarOf(symlinkEntry("s", "../victim"), fileEntry("s", "x")), want: ErrDuplicate},
		hostile{name: "sparse file over a symlink", archive: tarOf(symlinkEntry("s", "../victim"), sparseEntry("s", 1, "1\n0\n1\n", "x")), want: ErrDuplicate},
		hostile{name: "directory over a symlink", archive: tarOf(symlinkEntry("s", "../dir"), dirEntry("s")), want: ErrDuplicate},
		hostile{name: "FIFO over a symlink", archive: tarOf(symlinkEntry("s", "../new"), raw{flag: '6', name: "s"}), want: ErrDuplicate},
		hostile{name: "symlink over the directory of the next", archive: tarOf(dirEntry("d"), symlinkEntry("d", ".."), fileEntry("d/victim", "x")), want: ErrDuplicate},
		hostile{name: "symlink to nothing", archive: tarOf(symlinkEntry("s", "")), want: paxtar.ErrName},
		hostile{name: "symlink with NUL", archive: tarOf(raw{flag: '2', name: "s", records: []string{rec("linkpath", "a\x00b")}}), want: paxtar.ErrName},
	)
}

func hardLinkEscapes() []hostile {
	f, d, s := fileEntry("f", "x"), dirEntry("d"), symlinkEntry("s", "..")
	cases := []hostile{
		{name: "through a symlink", archive: tarOf(s, linkEntry("l", "s/victim")), want: ErrLink},
		{name: "through a symlink to the root", archive: tarOf(symlinkEntry("s", "/"), linkEntry("l", "s/etc/passwd")), want: ErrLink},
		{name: "to what is not there", archive: tarOf(linkEntry("l", "f")), want: ErrLink},
		{name: "to what is in no directory", archive: tarOf(linkEntry("l", "d/f")), want: ErrLink},
		{name: "to itself", archive: tarOf(linkEntry("l", "l")), want: ErrLink},
		{name: "to each other", archive: tarOf(linkEntry("l", "m"), linkEntry("m", "l")), want: ErrLink},
		{name: "to a directory", archive: tarOf(d, linkEntry("l", "d")), want: ErrLink},
		{name: "below a file", archive: tarOf(f, linkEntry("l", "f/x")), want: ErrLink},
		{name: "in no directory", archive: tarOf(f, linkEntry("d/l", "f")), want: ErrParent},
		{name: "in a file", archive: tarOf(f, linkEntry("f/l", "f")), want: ErrParent},
		{name: "over a file", archive: tarOf(f, fileEntry("l", "y"), linkEntry("l", "f")), want: ErrDuplicate},
		{name: "over a directory", archive: tarOf(f, d, linkEntry("d", "f")), want: ErrDuplicate},
		{name: "over a symlink", archive: tarOf(f, s, linkEntry("s", "f")), want: ErrDuplicate},
		{name: "twice", archive: tarOf(f, linkEntry("l", "f"), linkEntry("l", "f")), want: ErrDuplicate},
		{name: "with content", archive: tarOf(f, raw{flag: '1', name: "l", linkname: "f", body: "x"}), want: paxtar.ErrSize},
	}
	for _, to := range []string{"../victim", "d/../../victim", "..", ".", "", "./../victim", "d//f", "f/"} {
		cases = append(cases, hostile{name: fmt.Sprintf("to %q", to), archive: tarOf(f, d, linkEntry("l", to)), want: paxtar.ErrName})
	}
	return cases
}

func duplicates() []hostile {
	f, d, p := fileEntry("n", "x"), dirEntry("n"), raw{flag: '6', name: "n"}
	s, h := symlinkEntry("n", "x"), sparseEntry("n", 1, "1\n0\n1\n", "x")
	var cases []hostile
	kinds := []struct {
		name string
		e    raw
	}{{"file", f}, {"directory", d}, {"FIFO", p}, {"symlink", s}, {"sparse file", h}}
	for _, a := range kinds {
		for _, b := range kinds {
			cases = append(cases, hostile{name: a.name + " then " + b.name, archive: tarOf(a.e, b.e), want: ErrDuplicate})
		}
	}
	return append(cases,
		hostile{name: "the top twice", archive: tarOf(dirEntry("./"), dirEntry(".")), want: ErrDuplicate},
		hostile{name: "one name in two spellings", archive: tarOf(f, fileEntry("./n", "x")), want: ErrDuplicate},
		hostile{name: "one directory in two spellings", archive: tarOf(dirEntry("n/"), dirEntry("./n")), want: ErrDuplicate},
		hostile{name: "far apart", archive: tarOf(dirEntry("d"), fileEntry("d/n", "x"), f, fileEntry("d/n", "y")), want: ErrDuplicate},
		hostile{name: "file in a file", archive: tarOf(f, fileEntry("n/x", "x")), want: ErrParent},
		hostile{name: "file in no directory", archive: tarOf(fileEntry("a/b", "x")), want: ErrParent},
		hostile{name: "directory after its file", archive: tarOf(fileEntry("a/b", "x"), dirEntry("a")), want: ErrParent},
		hostile{name: "file in a FIFO", archive: tarOf(p, fileEntry("n/x", "x")), want: ErrParent},
	)
}
