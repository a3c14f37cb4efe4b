// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// startTicking maps the file at path, which must hold at least eight bytes,
// and stores the wall clock in it (nanoseconds since 1970, native byte order)
// for as long as the program lives.
func startTicking(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	clock := (*int64)(unsafe.Pointer(&b[0]))
	go func() {
		for {
			atomic.StoreInt64(clock, time.Now().UnixNano())
		}
	}()
	return nil
}
