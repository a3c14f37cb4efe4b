// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What the process behind a terminal has not read, and how it has set that, its
// successor finds.
func TestRecalledInputComesFirst(t *testing.T) {
	for name, lflag := range map[string]uint32{"raw": 0, "lines": unix.ICANON} {
		t.Run(name, func(t *testing.T) {
			term, _, in, _ := openTerminalFifos(t)
			first := attach(t, term)
			settings := settingsOf(t, first)
			settings.Lflag = settings.Lflag&^(unix.ICANON|unix.ECHO) | lflag
			settings.Cc[unix.VERASE] = '#'
			if err := control(first, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, settings) }); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, in, "read\n")
			mustRead(t, first, "read\n")
			// More than a line discipline holds.
			want := strings.Repeat("unread\n", 1000)
			mustWrite(t, in, want)
			awaitTaken(t, term)

			term.HoldInput()
			if err := term.Recall(); err != nil {
				t.Fatal(err)
			}
			first.Close()
			term.Detach()
			mustWrite(t, in, "typed\n")
			failed := attach(t, term) // by a resume that fails
			failed.Close()
			term.Detach()

			second := attach(t, term)
			if diff := cmp.Diff(settings, settingsOf(t, second)); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if err := term.ReleaseInput(); err != nil {
				t.Fatal(err)
			}
			for range 1000 {
				mustRead(t, second, "unread\n")
			}
			mustRead(t, second, "typed\n")
		})
	}
}

func settingsOf(t *testing.T, f *os.File) (settings *unix.Termios) {
	t.Helper()
	err := control(f, func(fd int) (err error) {
		settings, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// awaitTaken waits until the terminal has taken all that was typed.
func awaitTaken(t *testing.T, term *Terminal) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := 0
		err := control(term.stdin, func(fd int) (err error) {
			left, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
			return err
		})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d bytes are left in the FIFO: %v", left, err)
		}
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}
