// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guest writes numbered lines to both outputs and checks those that it reads,
// until it reads "end" or gets SIGTERM. Its arguments say whether lines may
// be long, and whether it has a terminal.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/crash/numbers"
)

func main() {
	if err := run(slices.Contains(os.Args, "long"), slices.Contains(os.Args, "terminal")); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(long, terminal bool) error {
	if terminal {
		if err := makeRaw(int(os.Stdin.Fd())); err != nil {
			return err
		}
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	count, readErr := 0, error(nil)
	go func() {
		count, readErr = read(os.Stdin)
		if count > 0 {
			end <- syscall.SIGTERM
		}
	}()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	errs := make([]error, 2)
	writers.Go(func() { errs[0] = write(os.Stdout, numbers.Stdout, long, stop) })
	writers.Go(func() { errs[1] = write(os.Stderr, numbers.Stderr, long, stop) })
	<-end
	close(stop)
	writers.Wait()
	if err := errors.Join(append(errs, readErr)...); err != nil {
		return err
	}
	_, err := fmt.Printf("read %d\n", count)
	return err
}

// write writes lines, of which a part may go out at a time.
func write(w io.Writer, kind byte, long bool, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := io.WriteString(w, numbers.Line(kind, n, long)); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// read reads lines, little at a time and with breaks, so that there is often more to
// read, and returns how many there were before the end.
func read(r io.Reader) (n int, err error) {
	lines := bufio.NewReaderSize(r, 16)
	for ; ; n++ {
		line, err := lines.ReadString('\n')
		if err == io.EOF && n == 0 {
			return 0, nil // there is no input
		}
		if err != nil {
			return n, fmt.Errorf("read line %d: %w", n, err)
		}
		if line == "end\n" {
			return n, nil
		}
		if want := numbers.Line(numbers.Stdin, n, false); line != want {
			return n, fmt.Errorf("line %d of the input is %q, want %q", n, line, want)
		}
		if n%4 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// makeRaw has the terminal pass every byte as it is.
func makeRaw(fd int) error {
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("get the terminal's settings: %w", err)
	}
	settings.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	settings.Oflag &^= unix.OPOST
	settings.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, settings); err != nil {
		return fmt.Errorf("set the terminal's settings: %w", err)
	}
	return nil
}
