// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// report is how Go's runtime reports a panic, shortened.
const report = `warning: of the beginning
panic: the disk is on fire

goroutine 1 gp=0xc000002380 m=0 mp=0x1a2b3c0 [running]:
main.burn(0xc000012345)
	/src/main.go:12 +0x1d
main.main()
	/src/main.go:7 +0x25

goroutine 2 [idle]:
runtime.gopark()
	/go/proc.go:1 +0x1
panic: of another goroutine
`

func TestLastWords(t *testing.T) {
	tests := []struct{ name, log, want string }{
		{"nothing", "", ""},
		{"empty lines", "\n \n", ""},
		{"a panic", report, "panic: the disk is on fire | goroutine 1 gp=0xc000002380 m=0 mp=0x1a2b3c0 [running]: | main.burn(0xc000012345) | " +
			"/src/main.go:12 +0x1d | main.main() | /src/main.go:7 +0x25 | goroutine 2 [idle]: | runtime.gopark()"},
		{"a signal", "SIGSYS: bad system call\nPC=0x1\n", "SIGSYS: bad system call | PC=0x1"},
		{"no report", strings.Repeat("x\n", 20) + "cannot boot: no\n", strings.Repeat("x | ", 7) + "cannot boot: no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Runsc{PanicLog: filepath.Join(t.TempDir(), "panic")}
			writeFile(t, r.PanicLog, tt.log, 0o600)
			if got := r.LastWords(); got != tt.want {
				t.Errorf("LastWords = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLastWordsAreBounded(t *testing.T) {
	r := &Runsc{PanicLog: filepath.Join(t.TempDir(), "panic")}
	writeFile(t, r.PanicLog, "panic: begin "+strings.Repeat("é", maxLogTail), 0o600)
	if got := r.LastWords(); len(got) > maxWords || !strings.HasPrefix(got, "panic: begin é") || !strings.HasSuffix(got, "é") {
		t.Errorf("%d bytes are quoted: %q", len(got), got)
	}
}

func TestWordsAreForgotten(t *testing.T) {
	r := &Runsc{PanicLog: filepath.Join(t.TempDir(), "panic")}
	for range 2 { // one that is not there is forgotten too
		if err := r.ForgetWords(); err != nil || r.LastWords() != "" {
			t.Fatalf("ForgetWords = %v, and the last words are %q", err, r.LastWords())
		}
		writeFile(t, r.PanicLog, report, 0o600)
		if r.LastWords() == "" {
			t.Fatal("there are no words to forget")
		}
	}
	none := &Runsc{}
	if err := none.ForgetWords(); err != nil || none.LastWords() != "" {
		t.Errorf("without a panic log: %v, %q", err, none.LastWords())
	}
}

// What the sandbox said goes with every error that its end may be the cause of.
func TestErrorsQuoteLastWords(t *testing.T) {
	const want = `; the sandbox's last words: "panic: the disk is on fire | `
	r, out := fakeRunsc(t, `printf '%s\n' "$@" >"$OUT/args"; exit 3`)
	r.PanicLog = filepath.Join(t.TempDir(), "panic")
	if err := os.Mkdir(r.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, r.PanicLog, report, 0o600)
	var e *Error
	if err := r.Pause(t.Context(), "c"); !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "runsc pause: exit status 3"+want) {
		t.Errorf("Pause = %v", err)
	}
	if args := readFile(t, out, "args"); !strings.Contains(args, "--panic-log="+r.PanicLog) {
		t.Errorf("runsc was not told where the sandbox writes to: %q", args)
	}
	if err := r.Control("c").Freeze(t.Context()); !errors.Is(err, ErrSandboxGone) || !strings.Contains(err.Error(), want) {
		t.Errorf("Freeze = %v", err)
	}
}
