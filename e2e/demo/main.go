// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows what ateom does, on a real program: a Python service that
// keeps a nonce, a counter and 64 MiB in memory, a file in its rootfs and one in
// a DurableDir. It runs, is paused and resumed, committed as Data and as Full,
// and wakes up from both on a second node that shares nothing with the first
// but the store. It exits with 0 only if everything that must agree agrees.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ateom/ateom/e2e/images"
)

func main() {
	bin := flag.String("bin", "bin", "directory that `make build tools` filled")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *bin); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// demo prepares two nodes, tells the story, and takes everything down.
func demo(ctx context.Context, bin string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("it starts containerd and sandboxes: run it as root")
	}
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	p := programs{bin: bin, tools: filepath.Join(bin, "tools")}
	for _, path := range []string{
		filepath.Join(p.bin, "ctr-ateom"), filepath.Join(p.bin, "containerd-shim-ateom-v1"),
		filepath.Join(p.bin, "runsc"), filepath.Join(p.tools, "containerd"),
	} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w; build the programs with: make build tools", err)
		}
	}
	image, err := images.Debian.Ensure(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ateom-demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &story{timeline: newTimeline(os.Stdout), dir: dir, programs: p, image: image}
	defer func() { err = errors.Join(err, s.close()) }()
	begin := time.Now()
	if err := s.tellAll(ctx); err != nil {
		return err
	}
	fmt.Printf("\nThe nonce, the counter and all digests agree, after %.0f s.\n", time.Since(begin).Seconds())
	return nil
}
