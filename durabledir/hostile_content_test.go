// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"fmt"
	"strings"

	"github.com/ateom/ateom/durabledir/paxtar"
	"github.com/ateom/ateom/durabledir/treetest"
)

func paxAbuse() []hostile {
	var cases []hostile
	for name, records := range map[string]string{
		"no length":               "path=a\n",
		"length 0":                "0 path=a\n",
		"length with a zero":      "09 path=a\n",
		"length too short":        "3 path=a\n",
		"length one short":        "8 path=a\n",
		"length one long":         "11 path=a\n",
		"length beyond the end":   "99 path=a\n",
		"length negative":         "-9 path=a\n",
		"length too large":        "99999999999999999999 path=a\n",
		"length and nothing":      "9",
		"length and a space":      "2 ",
		"no newline":              "8 path=a",
		"no equals sign":          "7 path\n",
		"no keyword":              "5 =a\n",
		"junk after a record":     rec("path", "a") + "\x00\x00",
		"path twice":              rec("path", "a") + rec("path", "b"),
		"size twice":              rec("size", "1") + rec("size", "1"),
		"unknown keyword":         rec("SCHILY.dev", "1"),
		"ACL as text":             rec("SCHILY.acl.access", "user::rwx"),
		"label":                   rec("RHT.security.selinux", "x"),
		"LIBARCHIVE attribute":    rec("LIBARCHIVE.xattr.user.x", "eA=="),
		"size negative":           rec("size", "-1"),
		"size with a sign":        rec("size", "+1"),
		"size in hex":             rec("size", "0x1"),
		"size beyond 63 bits":     rec("size", "9223372036854775808"),
		"size with blanks":        rec("size", " 1"),
		"size empty":              rec("size", ""),
		"uid negative":            rec("uid", "-1"),
		"uid of nobody at all":    rec("uid", "4294967295"),
		"gid too large":           rec("gid", "4294967296"),
		"mtime in words":          rec("mtime", "yesterday"),
		"mtime empty":             rec("mtime", ""),
		"mtime with two points":   rec("mtime", "1.2.3"),
		"mtime with a minus more": rec("mtime", "--1"),
		"mtime too large":         rec("mtime", "99999999999999999999"),
		"other charset":           rec("hdrcharset", "ISO-IR 8859 1 1998"),
		"attribute without name":  rec("SCHILY.xattr.", "x"),
		"attribute with NUL":      rec("SCHILY.xattr.user.a\x00b", "x"),
		"attribute of 256 bytes":  rec("SCHILY.xattr."+strings.Repeat("a", 256), "x"),
		"attribute twice":         rec("SCHILY.xattr.user.a", "x") + rec("SCHILY.xattr.user.a", "y"),
		"linkpath of a file":      rec("linkpath", "a"),
		"shared key empty":        rec("ATEOM.shared", ""),
		"shared key too long":     rec("ATEOM.shared", strings.Repeat("k", 256)),
	} {
		cases = append(cases, hostile{name: name, archive: tarOf(fileEntry("f", "x", records)), want: paxtar.ErrRecord})
	}
	x := raw{flag: 'x', name: "x", body: rec("path", "a")}
	return append(cases,
		hostile{name: "no records", archive: tarOf(raw{flag: 'x', name: "x"}, fileEntry("f", "x")), want: paxtar.ErrRecord},
		hostile{name: "records for records", archive: tarOf(x, x, fileEntry("f", "x")), want: paxtar.ErrType},
		hostile{name: "shared directory", archive: tarOf(raw{flag: '5', name: "d", records: []string{rec("ATEOM.shared", "k")}}), want: paxtar.ErrRecord},
		hostile{name: "records for the end", archive: append(noEnd(x), make([]byte, tarEnd)...), want: paxtar.ErrFormat},
		hostile{name: "global records", archive: tarOf(raw{flag: 'g', name: "g", body: rec("path", "a")}), want: paxtar.ErrType},
		hostile{name: "records with data in the padding",
			archive: tarOf(raw{flag: 'x', name: "x", body: rec("path", "a"), padding: strings.Repeat("p", 503)}, fileEntry("f", "x")), want: paxtar.ErrFormat},
		hostile{name: "attribute that no kernel knows", archive: tarOf(fileEntry("f", "x", rec("SCHILY.xattr.nonsense.a", "x"))),
			want: ErrXattr, opts: RestoreOptions{AllXattrs: true}},
		hostile{name: "ACL that is none", archive: tarOf(fileEntry("f", "x", rec("SCHILY.xattr.system.posix_acl_access", "x"))), want: ErrXattr},
		hostile{name: "capability that is none", archive: tarOf(fileEntry("f", "x", rec("SCHILY.xattr.security.capability", "x"))), want: ErrXattr},
		hostile{name: "attribute of a user on a symlink",
			archive: tarOf(raw{flag: '2', name: "s", linkname: "x", records: []string{rec("SCHILY.xattr.user.a", "x")}}), want: ErrXattr},
		hostile{name: "default ACL on a file", archive: tarOf(fileEntry("f", "x", rec("SCHILY.xattr.system.posix_acl_default", treetest.ACL(1)))), want: ErrXattr},
	)
}

func sizes() []hostile {
	return []hostile{
		{name: "header larger than record", archive: tarOf(fileEntry("f", "xyz", rec("size", "2"))), want: paxtar.ErrSize},
		{name: "header smaller than record", archive: tarOf(fileEntry("f", "x", rec("size", "2"))), want: paxtar.ErrSize},
		{name: "directory with content", archive: tarOf(raw{flag: '5', name: "d", body: "x"}), want: paxtar.ErrSize},
		{name: "directory with a record of content", archive: tarOf(raw{flag: '5', name: "d", records: []string{rec("size", "1")}}), want: paxtar.ErrSize},
		{name: "symlink with content", archive: tarOf(raw{flag: '2', name: "s", linkname: "x", body: "x"}), want: paxtar.ErrSize},
		{name: "FIFO with content", archive: tarOf(raw{flag: '6', name: "p", body: "x"}), want: paxtar.ErrSize},
		{name: "device with content", archive: tarOf(raw{flag: '3', name: "c", body: "x"}), want: paxtar.ErrSize},
		{name: "size not octal", archive: tarOf(raw{flag: '0', name: "f", size: "00000000009"}), want: paxtar.ErrFormat},
		{name: "size negative", archive: tarOf(raw{flag: '0', name: "f", size: "-0000000001"}), want: paxtar.ErrFormat},
		{name: "size in base 256", archive: tarOf(raw{flag: '0', name: "f", size: "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"}), want: paxtar.ErrFormat},
		{name: "size negative in base 256", archive: tarOf(raw{flag: '0', name: "f", size: strings.Repeat("\xff", 12)}), want: paxtar.ErrFormat},
		{name: "size of 8 GiB and nothing", archive: tarOf(raw{flag: '0', name: "f", size: "77777777777"}), want: paxtar.ErrTruncated},
		{name: "size of 8 EiB and nothing", archive: tarOf(fileEntry("f", "", rec("size", "9223372036854775807"))), want: paxtar.ErrTruncated},
		{name: "data in the padding", archive: tarOf(raw{flag: '0', name: "f", body: "x", padding: strings.Repeat("p", 511)}, fileEntry("g", "")), want: paxtar.ErrFormat},
		{name: "sparse size smaller than the map", archive: tarOf(raw{flag: '0', name: "f", records: sparseRecords("f", 1), size: "00000000003", body: "0\n\x00"}), want: paxtar.ErrSparse},
		{name: "sparse size larger than the data", archive: tarOf(sparseEntry("f", 10, "1\n0\n3\n", "abcd")), want: paxtar.ErrSize},
		{name: "sparse size smaller than the data", archive: tarOf(sparseEntry("f", 10, "1\n0\n3\n", "ab")), want: paxtar.ErrSize},
	}
}

func sparseMaps() []hostile {
	var cases []hostile
	for name, m := range map[string]struct {
		size  int64
		lines string
	}{
		"no count":                {10, "\n"},
		"count no number":         {10, "one\n0\n1\n"},
		"count negative":          {10, "-1\n0\n1\n"},
		"count too large":         {10, "4194305\n0\n1\n"},
		"count beyond 63 bits":    {10, "99999999999999999999\n"},
		"count larger than map":   {10, "2\n0\n1\n"},
		"offset no number":        {10, "1\nx\n1\n"},
		"offset negative":         {10, "1\n-1\n1\n"},
		"offset beyond the file":  {10, "1\n11\n0\n"},
		"offset beyond 63 bits":   {10, "1\n9999999999999999999999\n1\n"},
		"length negative":         {10, "1\n0\n-1\n"},
		"length beyond the file":  {10, "1\n0\n11\n"},
		"end beyond the file":     {10, "1\n10\n1\n"},
		"sum beyond 63 bits":      {10, "1\n9223372036854775800\n9223372036854775800\n"},
		"overlap":                 {10, "2\n0\n2\n1\n2\n"},
		"descending":              {10, "2\n5\n1\n0\n1\n"},
		"same twice":              {10, "2\n0\n1\n0\n1\n"},
		"data after the map":      {10, "1\n0\n1\nx"},
		"line with a blank":       {10, "1\n 0\n1\n"},
		"line ended as elsewhere": {10, "1\r\n0\r\n1\r\n"},
		"file of no bytes":        {0, "1\n0\n1\n"},
		"line that does not end":  {10, strings.Repeat("0", 600)},
	} {
		cases = append(cases, hostile{name: name, archive: tarOf(sparseEntry("f", m.size, m.lines, "x")), want: paxtar.ErrSparse})
	}
	for drop, name := range []string{"no major", "no minor", "no name", "no size"} {
		records := sparseRecords("f", 1)
		records = append(records[:drop:drop], records[drop+1:]...)
		cases = append(cases, hostile{name: name, archive: tarOf(fileEntry("f", "1\n0\n1\n", records...)), want: paxtar.ErrSparse})
	}
	other := func(major, minor string) []byte {
		return tarOf(fileEntry("f", "x", rec("GNU.sparse.major", major), rec("GNU.sparse.minor", minor),
			rec("GNU.sparse.name", "f"), rec("GNU.sparse.realsize", "1")))
	}
	typed := func(flag byte) []byte {
		e := sparseEntry("f", 0, "0\n", "")
		e.flag, e.body = flag, ""
		return tarOf(e)
	}
	return append(cases,
		hostile{name: "format 2.0", archive: other("2", "0"), want: paxtar.ErrSparse},
		hostile{name: "format 1.1", archive: other("1", "1"), want: paxtar.ErrSparse},
		hostile{name: "format 0.0", archive: tarOf(fileEntry("f", "x", rec("GNU.sparse.size", "1"), rec("GNU.sparse.numblocks", "1"))), want: paxtar.ErrRecord},
		hostile{name: "format 0.1", archive: tarOf(fileEntry("f", "x", rec("GNU.sparse.map", "0,1"))), want: paxtar.ErrRecord},
		hostile{name: "directory", archive: typed('5'), want: paxtar.ErrSparse},
		hostile{name: "symlink", archive: typed('2'), want: paxtar.ErrSparse},
		hostile{name: "hard link", archive: typed('1'), want: paxtar.ErrSparse},
		hostile{name: "old GNU", archive: tarOf(raw{flag: 'S', name: "f", magic: "ustar  \x00"}), want: paxtar.ErrFormat},
	)
}

func devicesAndTypes() []hostile {
	device := func(flag byte, name, major, minor string) []byte {
		return tarOf(raw{flag: flag, name: name, major: major, minor: minor})
	}
	cases := []hostile{
		{name: "memory", archive: device('3', "mem", "0000001", "0000001"), want: ErrDevice},
		{name: "null", archive: device('3', "null", "0000001", "0000003"), want: ErrDevice},
		{name: "disk", archive: device('4', "sda", "0000010", "0000000"), want: ErrDevice},
		{name: "whiteout", archive: device('3', "w", "0000000", "0000000"), want: ErrDevice},
		{name: "major not octal", archive: device('3', "c", "000000x", "0000000"), want: paxtar.ErrFormat},
		{name: "mode not octal", archive: tarOf(raw{flag: '0', name: "f", mode: "0000rwx"}), want: paxtar.ErrFormat},
		{name: "mode with a file type", archive: tarOf(raw{flag: '0', name: "f", mode: "0100644"}), want: paxtar.ErrFormat},
		{name: "uid not octal", archive: tarOf(raw{flag: '0', name: "f", uid: "root"}), want: paxtar.ErrFormat},
		{name: "mtime not octal", archive: tarOf(raw{flag: '0', name: "f", mtime: "now"}), want: paxtar.ErrFormat},
		{name: "checksum wrong", archive: tarOf(raw{flag: '0', name: "f", checksum: "000000\x00 "}), want: paxtar.ErrFormat},
		{name: "checksum missing", archive: tarOf(raw{flag: '0', name: "f", checksum: "\x00\x00\x00\x00\x00\x00\x00\x00"}), want: paxtar.ErrFormat},
		{name: "no magic", archive: tarOf(raw{flag: '0', name: "f", magic: "\x00\x00\x00\x00\x00\x00\x00\x00"}), want: paxtar.ErrFormat},
		{name: "GNU magic", archive: tarOf(raw{flag: '0', name: "f", magic: "ustar  \x00"}), want: paxtar.ErrFormat},
		{name: "no tar at all", archive: []byte(strings.Repeat("PK\x03\x04", 1024)), want: paxtar.ErrFormat},
	}
	for _, flag := range []byte("\x007ADEIKLMNSVXZgé") {
		cases = append(cases, hostile{name: fmt.Sprintf("type %q", flag), archive: tarOf(raw{flag: flag, name: "f"}), want: paxtar.ErrType})
	}
	return cases
}

func setuid() []hostile {
	opts := RestoreOptions{Setuid: SetuidRefuse}
	sparse := sparseEntry("f", 1, "1\n0\n1\n", "x")
	sparse.mode = "0004755"
	return []hostile{
		{name: "setuid", archive: tarOf(raw{flag: '0', name: "f", mode: "0004755"}), want: ErrSetuid, opts: opts},
		{name: "setgid", archive: tarOf(raw{flag: '0', name: "f", mode: "0002755"}), want: ErrSetuid, opts: opts},
		{name: "both", archive: tarOf(raw{flag: '0', name: "f", mode: "0006755"}), want: ErrSetuid, opts: opts},
		{name: "without execution", archive: tarOf(raw{flag: '0', name: "f", mode: "0004644"}), want: ErrSetuid, opts: opts},
		{name: "of root's", archive: tarOf(raw{flag: '0', name: "f", mode: "0004755", uid: "0000000"}), want: ErrSetuid, opts: opts},
		{name: "sparse", archive: tarOf(sparse), want: ErrSetuid, opts: opts},
		{name: "FIFO", archive: tarOf(raw{flag: '6', name: "p", mode: "0004755"}), want: ErrSetuid, opts: opts},
		{name: "deep down", archive: tarOf(dirEntry("d"), raw{flag: '0', name: "d/f", mode: "0004755"}), want: ErrSetuid, opts: opts},
	}
}

func bombs() []hostile {
	many := make([]raw, 101)
	for i := range many {
		many[i] = fileEntry(fmt.Sprint(i), "")
	}
	huge := raw{flag: 'x', name: "x", size: "00004000001", body: strings.Repeat("x", 1<<20)}
	return []hostile{
		{name: "too many files", archive: tarOf(many...), want: ErrLimit, opts: RestoreOptions{MaxFiles: 100}},
		{name: "too many links", archive: tarOf(fileEntry("f", ""), linkEntry("a", "f"), linkEntry("b", "f")), want: ErrLimit, opts: RestoreOptions{MaxFiles: 2}},
		{name: "file too large", archive: tarOf(fileEntry("f", strings.Repeat("x", 101))), want: ErrLimit, opts: RestoreOptions{MaxBytes: 100}},
		{name: "files too large together", archive: tarOf(fileEntry("f", strings.Repeat("x", 60)), fileEntry("g", strings.Repeat("x", 60))),
			want: ErrLimit, opts: RestoreOptions{MaxBytes: 100}},
		{name: "a file of 8 EiB", archive: tarOf(fileEntry("f", "", rec("size", "9223372036854775807"))), want: ErrLimit, opts: RestoreOptions{MaxBytes: 1 << 30}},
		{name: "two files of 4 EiB", archive: tarOf(fileEntry("f", ""), fileEntry("g", "", rec("size", "9223372036854775807"))),
			want: ErrLimit, opts: RestoreOptions{MaxBytes: 1 << 30}},
		{name: "sparse data too large", archive: tarOf(sparseEntry("f", 1<<40, "1\n0\n200\n", strings.Repeat("x", 200))), want: ErrLimit, opts: RestoreOptions{MaxBytes: 100}},
		{name: "archive too long", archive: tarOf(many...), want: ErrLimit, opts: RestoreOptions{MaxArchive: 10_000}},
		{name: "archive too long by its padding", archive: append(tarOf(), make([]byte, 512)...), want: ErrLimit, opts: RestoreOptions{MaxArchive: 1024}},
		{name: "padding without end", archive: append(tarOf(), make([]byte, 1<<20)...), want: paxtar.ErrTrailing},
		{name: "records without end", archive: tarOf(huge), want: paxtar.ErrRecord},
		{name: "records of 8 GiB", archive: tarOf(raw{flag: 'x', name: "x", size: "77777777777"}), want: paxtar.ErrRecord},
		{name: "symlink of 4096 bytes", archive: tarOf(raw{flag: '2', name: "s", records: []string{rec("linkpath", strings.Repeat("x", 4096))}}), want: paxtar.ErrName},
	}
}

func ends() []hostile {
	whole := noEnd(
		dirEntry("./"), dirEntry("d"), fileEntry("d/f", strings.Repeat("x", 700), rec("mtime", "1.5")),
		symlinkEntry("s", "d/f"), linkEntry("l", "d/f"), raw{flag: '6', name: "p"},
		sparseEntry("h", 1<<20, "1\n4096\n3\n", "abc"),
	)
	var cases []hostile
	for at := 0; at <= len(whole); at += 512 {
		cases = append(cases, hostile{name: fmt.Sprintf("cut before block %d", at/512), archive: whole[:at], want: paxtar.ErrTruncated})
		if at < len(whole) {
			cases = append(cases, hostile{name: fmt.Sprintf("cut in block %d", at/512), archive: whole[:at+100], want: paxtar.ErrTruncated})
		}
	}
	end := func(b ...byte) []byte { return append(append([]byte{}, whole...), b...) }
	zero := make([]byte, 512)
	return append(cases,
		hostile{name: "one zero block", archive: end(zero...), want: paxtar.ErrTruncated},
		hostile{name: "one zero block and a half", archive: end(make([]byte, 700)...), want: paxtar.ErrTruncated},
		hostile{name: "a header after a zero block", archive: end(append(zero[:512:512], noEnd(fileEntry("f", ""))...)...), want: paxtar.ErrTrailing},
		hostile{name: "a byte after the end", archive: append(tarOf(), 'x'), want: paxtar.ErrTrailing},
		hostile{name: "an archive after the end", archive: append(tarOf(), tarOf(fileEntry("f", "x"))...), want: paxtar.ErrTrailing},
		hostile{name: "a byte far after the end", archive: append(append(tarOf(), make([]byte, 60_000)...), 'x'), want: paxtar.ErrTrailing},
	)
}
