// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// A claimServer makes the pages that its process is asked for; see charger.
type claimServer struct {
	mu    sync.Mutex
	files []int
}

// serve serves one lane until the gofer ends.
func (s *claimServer) serve(lane int) error {
	message, rights := make([]byte, claimSize(maxStretches)), make([]byte, unix.CmsgSpace(4))
	for {
		n, oob, _, _, err := unix.Recvmsg(lane, message, rights, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("charge the sandbox: %w", err)
		}
		if n == 0 {
			return nil // the gofer has gone
		}
		if oob > 0 {
			err = s.takeFile(rights[:oob])
		} else {
			err = s.make(message[:n])
		}
		var errno unix.Errno
		if err != nil && !errors.As(err, &errno) {
			errno = unix.EINVAL
		}
		if err := unix.Sendmsg(lane, binary.LittleEndian.AppendUint32(nil, uint32(errno)), nil, nil, unix.MSG_NOSIGNAL); err != nil {
			return fmt.Errorf("charge the sandbox: %w", err)
		}
	}
}

func (s *claimServer) takeFile(rights []byte) error {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return unix.EBADMSG
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return unix.EBADMSG
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, fds[0])
	return nil
}

// make makes the pages of a claim that are not there.
func (s *claimServer) make(claim []byte) error {
	if len(claim) < claimSize(0) {
		return unix.EBADMSG
	}
	number := binary.LittleEndian.Uint64(claim)
	s.mu.Lock()
	files := s.files
	s.mu.Unlock()
	if number >= uint64(len(files)) {
		return unix.EBADF
	}
	for at := claimSize(0); at+stretchSize <= len(claim); at += stretchSize {
		off, n := binary.LittleEndian.Uint64(claim[at:]), binary.LittleEndian.Uint64(claim[at+8:])
		err := unix.Fallocate(files[number], unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
		for err == unix.EINTR {
			err = unix.Fallocate(files[number], unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
