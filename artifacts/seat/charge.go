// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
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
	// Lanes that nobody uses. A polite thread has lanes of its own: whoever waited for one
	// that it has would wait for its turn on a core, too.
	urgent, polite chan *os.File
	lanes          []*os.File

	mu    sync.Mutex
	files int
	// gone is why nothing is charged any more.
	gone error
}

// chargeFlag tells the program that it is the small process.
const chargeFlag = "-charge"

// The small process serves each lane, a socket, in a thread of its own: the first lanes for
// those who wait, and the others, politely, for those who read ahead.
const (
	chargeFD    = 3 // of the first lane
	urgentLanes = 4
	politeLanes = 4
)

// A claim is what the small process is asked, in little endian: which of the files that it has
// been sent, and stretches of it, from where and how much. One with a descriptor sends a
// file. The answer is an errno.
const (
	stretchSize = 16
	answerSize  = 4
	// maxStretches is what one claim has at most: memory may be there in single pages.
	maxStretches = chunkSize / pageSize
)

// claimSize is that of a claim of so many stretches.
func claimSize(stretches int) int { return 8 + stretches*stretchSize }

// A stretch is a part of a file.
type stretch struct{ off, n uint64 }

// startCharger starts the process in the cgroups that this one is in.
func startCharger() (_ *charger, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("charge the sandbox: %w", err)
	}
	c := &charger{urgent: make(chan *os.File, urgentLanes), polite: make(chan *os.File, politeLanes)}
	defer func() {
		if err != nil {
			c.closeLanes()
		}
	}()
	c.process = exec.Command(program)
	c.process.Args = []string{os.Args[0], job.SeatBinary, chargeFlag}
	defer func() {
		for _, far := range c.process.ExtraFiles {
			far.Close()
		}
	}()
	for i := range urgentLanes + politeLanes {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("charge the sandbox: create socket pair: %w", err)
		}
		near, far := os.NewFile(uintptr(fds[0]), "charger"), os.NewFile(uintptr(fds[1]), "gofer")
		c.lanes = append(c.lanes, near)
		c.process.ExtraFiles = append(c.process.ExtraFiles, far)
		if i < urgentLanes {
			c.urgent <- near
		} else {
			c.polite <- near
		}
	}
	if err := c.process.Start(); err != nil {
		return nil, fmt.Errorf("charge the sandbox: %w", err)
	}
	return c, nil
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
	lane := <-c.urgent
	defer func() { c.urgent <- lane }()
	switch errno, err := ask(lane, make([]byte, claimSize(0)), unix.UnixRights(int(f.Fd()))); {
	case err != nil:
		c.gone = err
	case errno != 0:
		return 0, false, fmt.Errorf("register file: %w", errno)
	}
	c.files++
	return c.files - 1, true, nil
}

// claim makes stretches of a file, as far as they are not there. The end of the process is no
// error, but nothing is charged from then on.
func (c *charger) claim(number int, stretches []stretch, politely bool) error {
	for claimed := range slices.Chunk(stretches, maxStretches) {
		if err := c.claimOnce(number, claimed, politely); err != nil {
			return err
		}
	}
	return nil
}

func (c *charger) claimOnce(number int, stretches []stretch, politely bool) error {
	if c.end() != nil {
		return nil
	}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, claimSize(len(stretches))), uint64(number))
	for _, s := range stretches {
		b = binary.LittleEndian.AppendUint64(b, s.off)
		b = binary.LittleEndian.AppendUint64(b, s.n)
	}
	lanes := c.urgent
	if politely {
		lanes = c.polite
	}
	lane := <-lanes
	errno, err := ask(lane, b, nil)
	lanes <- lane
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.gone = err
		return nil
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// end returns why nothing is charged any more.
func (c *charger) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// ask asks the process; err is about the process, and errno its answer.
func ask(lane *os.File, claim, rights []byte) (errno unix.Errno, err error) {
	if err := unix.Sendmsg(int(lane.Fd()), claim, rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return 0, err
	}
	answer := make([]byte, answerSize)
	n, err := readAgain(int(lane.Fd()), answer)
	if err == nil && n != answerSize {
		err = fmt.Errorf("an answer of %d bytes", n)
	}
	return unix.Errno(binary.LittleEndian.Uint32(answer)), err
}

func readAgain(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// close ends the process and returns why it had ended, if it had. Nobody claims any more.
func (c *charger) close() error {
	if c == nil {
		return nil
	}
	c.closeLanes()
	_ = c.process.Wait() // it has nothing to say
	return c.end()
}

func (c *charger) closeLanes() {
	for _, lane := range c.lanes {
		lane.Close()
	}
}

// isCharger says whether argv is a charger's.
func isCharger(argv []string) bool {
	return len(argv) == 3 && argv[1] == job.SeatBinary && argv[2] == chargeFlag
}

// serveClaims is the small process: it serves the lanes, the first of which is the given
// descriptor, until the gofer ends.
func serveClaims(first int) error {
	s := &claimServer{}
	ended := make(chan error)
	for i := range urgentLanes + politeLanes {
		go func() {
			runtime.LockOSThread() // until the process ends, as the priority
			if i >= urgentLanes {
				_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), politeness) // a matter of time only
			}
			ended <- s.serve(first + i)
		}()
	}
	var errs []error
	for range urgentLanes + politeLanes {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}
