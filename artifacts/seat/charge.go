// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

// A charger has the memory of a sandbox that is restored charged to the sandbox's
// cgroup. Linux charges a page to the cgroup of the process that makes it, and the
// gofer, which fills the memory, has left the sandbox's: what it reads and computes on
// the way is the node's business. So a small process that has stayed there makes
// each page, empty, before the gofer fills it. Without one, no limit would hold for a
// sandbox that has been resumed.
//
// A nil charger charges nothing.
type charger struct {
	process *exec.Cmd

	mu    sync.Mutex // a question and its answer
	sock  *os.File
	files int
	// gone is why nothing is charged any more.
	gone error
}

// chargeFlag tells the program that it is the small process, and its socket.
const (
	chargeFlag = "-charge"
	chargeFD   = 3
)

// A claim is what the small process is asked, in little endian: which of the files that it has
// been sent, from where, how much. One with a descriptor sends a file. The answer is an errno.
const (
	claimSize  = 24
	answerSize = 4
)

// startCharger starts the process in the cgroups that this one is in.
func startCharger() (*charger, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("charge the sandbox: %w", err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("charge the sandbox: create socket pair: %w", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "charger"), os.NewFile(uintptr(fds[1]), "gofer")
	defer far.Close()
	cmd := exec.Command(program)
	cmd.Args = []string{os.Args[0], job.SeatBinary, chargeFlag}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // it does one thing at a time
	cmd.ExtraFiles = []*os.File{far}
	if err := cmd.Start(); err != nil {
		near.Close()
		return nil, fmt.Errorf("charge the sandbox: %w", err)
	}
	return &charger{process: cmd, sock: near}, nil
}

// register sends a file, and returns its number. Only memory is charged where it is made.
func (c *charger) register(f *os.File) (number int, memory bool, err error) {
	if c == nil {
		return 0, false, nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return 0, false, fmt.Errorf("register file: %w", err)
	}
	if fs.Type != unix.TMPFS_MAGIC {
		return 0, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask(make([]byte, claimSize), unix.UnixRights(int(f.Fd()))); err != nil {
		return 0, false, fmt.Errorf("register file: %w", err)
	}
	c.files++
	return c.files - 1, true, nil
}

// claim makes a stretch of a file, as far as it is not there.
func (c *charger) claim(number int, off, n uint64) error {
	b := make([]byte, 0, claimSize)
	b = binary.LittleEndian.AppendUint64(b, uint64(number))
	b = binary.LittleEndian.AppendUint64(b, off)
	b = binary.LittleEndian.AppendUint64(b, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ask(b, nil)
}

// ask asks the process; its end is no error, but nothing is charged from then on.
func (c *charger) ask(claim, rights []byte) error {
	if c.gone != nil {
		return nil
	}
	if err := unix.Sendmsg(int(c.sock.Fd()), claim, rights, nil, unix.MSG_NOSIGNAL); err != nil {
		c.gone = err
		return nil
	}
	answer := make([]byte, answerSize)
	n, err := readAgain(int(c.sock.Fd()), answer)
	if err == nil && n != answerSize {
		err = fmt.Errorf("an answer of %d bytes", n)
	}
	if err != nil {
		c.gone = err
		return nil
	}
	if errno := unix.Errno(binary.LittleEndian.Uint32(answer)); errno != 0 {
		return errno
	}
	return nil
}

func readAgain(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// close ends the process and returns why it had ended, if it had.
func (c *charger) close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sock.Close()
	_ = c.process.Wait() // it has nothing to say
	return c.gone
}

// isCharger says whether argv is a charger's.
func isCharger(argv []string) bool {
	return len(argv) == 3 && argv[1] == job.SeatBinary && argv[2] == chargeFlag
}

// serveClaims is the small process: it ends with the gofer.
func serveClaims(sock int) error {
	var files []int
	claim, rights := make([]byte, claimSize), make([]byte, unix.CmsgSpace(4))
	for {
		n, oob, _, _, err := unix.Recvmsg(sock, claim, rights, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("charge the sandbox: %w", err)
		}
		if n != claimSize {
			return nil // the gofer has gone
		}
		if oob > 0 {
			var fd int
			if fd, err = takeFile(rights[:oob]); err == nil {
				files = append(files, fd)
			}
		} else {
			err = serveClaim(files, claim)
		}
		var errno unix.Errno
		if err != nil && !errors.As(err, &errno) {
			errno = unix.EINVAL
		}
		if err := unix.Sendmsg(sock, binary.LittleEndian.AppendUint32(nil, uint32(errno)), nil, nil, unix.MSG_NOSIGNAL); err != nil {
			return fmt.Errorf("charge the sandbox: %w", err)
		}
	}
}

func takeFile(rights []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return -1, unix.EBADMSG
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, unix.EBADMSG
	}
	return fds[0], nil
}

func serveClaim(files []int, claim []byte) error {
	number := binary.LittleEndian.Uint64(claim)
	if number >= uint64(len(files)) {
		return unix.EBADF
	}
	off, n := binary.LittleEndian.Uint64(claim[8:]), binary.LittleEndian.Uint64(claim[16:])
	for {
		err := unix.Fallocate(files[number], unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
		if err != unix.EINTR {
			return err
		}
	}
}
