// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guest keeps files in the directory of its argument open that were
// renamed, replaced and deleted since, and changes others all the time. Every
// line that it writes is a nonce that it keeps in memory, a counter, "ok" or the
// open file that no longer has what was written to it, and "same" or "apart": what
// the file is that it holds open by a name that is gone, and what has its other name.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// size of the open files in bytes.
const size = 256 << 10

// An open file, with what was written to it.
type open struct {
	name string
	file *os.File
	want []byte
}

// check compares the file with what was written, and writes something else.
func (o *open) check(n int) bool {
	got := make([]byte, size)
	if _, err := o.file.ReadAt(got, 0); err != nil || !bytes.Equal(got, o.want) {
		return false
	}
	mark := fmt.Appendf(nil, "%016d", n)
	at := n * len(mark) % size
	copy(o.want[at:], mark)
	_, err := o.file.WriteAt(mark, int64(at))
	return err == nil
}

func main() {
	dir := os.Args[1]
	in := func(name string) string { return filepath.Join(dir, name) }
	var all []*open
	hold := func(name string, then func() error) {
		f, err := os.Create(in(name))
		must(err)
		o := &open{name: name, file: f, want: make([]byte, size)}
		rand.Read(o.want)
		_, err = f.Write(o.want)
		must(err)
		must(then())
		all = append(all, o)
	}
	must(os.Mkdir(in("gone"), 0o755))
	must(os.WriteFile(in("new"), []byte("new"), 0o644))
	hold("kept", func() error { return nil })
	hold("renamed", func() error { return os.Rename(in("renamed"), in("renamed since")) })
	hold("deleted", func() error { return os.Remove(in("deleted")) })
	hold("replaced", func() error { return os.Rename(in("new"), in("replaced")) })
	hold("gone/file", func() error { return os.RemoveAll(in("gone")) })
	hold("linked", func() error {
		if err := os.Link(in("linked"), in("other name")); err != nil {
			return err
		}
		return os.Remove(in("linked"))
	})
	linked := all[len(all)-1].file
	started := make(chan struct{})
	go churn(in("churn"), started)
	<-started

	id := make([]byte, 8)
	rand.Read(id)
	for n := 1; ; n++ {
		state := "ok"
		for _, o := range all {
			if !o.check(n) {
				state = o.name
			}
		}
		fmt.Println(hex.EncodeToString(id), n, state, relation(linked, in("other name")))
		time.Sleep(20 * time.Millisecond)
	}
}

// relation says whether an open file is the one that has a name.
func relation(f *os.File, name string) string {
	mine, err := f.Stat()
	must(err)
	named, err := os.Stat(name)
	must(err)
	if os.SameFile(mine, named) {
		return "same"
	}
	return "apart"
}

// churn goes on replacing, appending, making and deleting files, in an order that
// shows in any state of the directory that there ever was: "current" is a
// generation's 1000 lines, then "log" gets its number, then a file bears it, then
// the one of three generations before goes. It closes started behind the first.
func churn(dir string, started chan<- struct{}) {
	in := func(name string) string { return filepath.Join(dir, name) }
	must(os.Mkdir(dir, 0o755))
	log, err := os.OpenFile(in("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(err)
	for g := 1; ; g++ {
		must(os.WriteFile(in("next"), bytes.Repeat(fmt.Appendf(nil, "%d\n", g), 1000), 0o644))
		must(os.Rename(in("next"), in("current")))
		_, err := fmt.Fprintln(log, g)
		must(err)
		must(os.WriteFile(in(fmt.Sprint("file-", g)), fmt.Appendln(nil, g), 0o644))
		if g == 1 {
			close(started)
		}
		if g > 3 {
			must(os.Remove(in(fmt.Sprint("file-", g-3))))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
