// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package allports

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A redirection gives a listener the TCP connections to all ports of a network
// namespace for which nobody else is looked up.
type redirection struct {
	sockets *ebpf.Map
	program *ebpf.Program
	link    *link.NetNsLink
}

// Fields of struct bpf_sk_lookup and what the program returns (linux/bpf.h).
const (
	familyOffset   = 8
	protocolOffset = 12
	localIP4Offset = 40 // in network order, as the next one
	localIP6Offset = 44 // four words
	skPass         = 1
)

// onLoopback passes by what is not for an address of 127.0.0.0/8 or for ::1.
var onLoopback = asm.Instructions{
	asm.LoadMem(asm.R2, asm.R1, familyOffset, asm.Word),
	asm.JNE.Imm(asm.R2, unix.AF_INET, "six"),
	asm.LoadMem(asm.R2, asm.R1, localIP4Offset, asm.Word),
	asm.And.Imm(asm.R2, 0xff), // its first byte, on x86-64
	asm.JNE.Imm(asm.R2, 127, "pass"),
	asm.Ja.Label("take"),
	asm.LoadMem(asm.R2, asm.R1, localIP6Offset, asm.Word).WithSymbol("six"),
	asm.JNE.Imm(asm.R2, 0, "pass"),
	asm.LoadMem(asm.R2, asm.R1, localIP6Offset+4, asm.Word),
	asm.JNE.Imm(asm.R2, 0, "pass"),
	asm.LoadMem(asm.R2, asm.R1, localIP6Offset+8, asm.Word),
	asm.JNE.Imm(asm.R2, 0, "pass"),
	asm.LoadMem(asm.R2, asm.R1, localIP6Offset+12, asm.Word),
	asm.JNE.Imm(asm.R2, 1<<24, "pass"),
}

// redirect begins the redirection in the namespace ns, which the listener is in.
func redirect(ns *os.File, l *net.TCPListener, where Scope) (_ *redirection, err error) {
	r := &redirection{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("redirect all ports: %w", err), r.Close())
		}
	}()
	r.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "ateom_ports", Type: ebpf.SockMap, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, err
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var put error
	if err := raw.Control(func(fd uintptr) { put = r.sockets.Put(uint32(0), uint64(fd)) }); err != nil || put != nil {
		return nil, errors.Join(err, put)
	}
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R1, protocolOffset, asm.Word),
		asm.JNE.Imm(asm.R2, unix.IPPROTO_TCP, "pass"),
	}
	if where == Loopback {
		code = append(code, onLoopback...)
	}
	r.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "ateom_ports", Type: ebpf.SkLookup, AttachType: ebpf.AttachSkLookup, License: "Apache-2.0",
		Instructions: append(code,
			// The socket is the map's only element, with key 0.
			asm.StoreImm(asm.RFP, -4, 0, asm.Word).WithSymbol("take"),
			asm.LoadMapPtr(asm.R1, r.sockets.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "pass"),
			asm.Mov.Reg(asm.R7, asm.R0),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Reg(asm.R2, asm.R0),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnSkAssign.Call(),
			asm.Mov.Reg(asm.R1, asm.R7),
			asm.FnSkRelease.Call(),
			asm.Mov.Imm(asm.R0, skPass).WithSymbol("pass"),
			asm.Return(),
		),
	})
	if err != nil {
		return nil, err
	}
	r.link, err = link.AttachNetNs(int(ns.Fd()), r.program)
	return r, err
}

// Close ends the redirection; the listener stays.
func (r *redirection) Close() error {
	var errs []error
	if r.link != nil {
		errs = append(errs, r.link.Close())
	}
	if r.program != nil {
		errs = append(errs, r.program.Close())
	}
	if r.sockets != nil {
		errs = append(errs, r.sockets.Close())
	}
	return errors.Join(errs...)
}
