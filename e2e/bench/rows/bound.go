// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"

	"github.com/ateom/ateom/e2e/bench/roof"
)

// seconds returns how long bytes take at the named rate of the roof, or 0 where
// it was not measured.
func (b *Bench) seconds(name string, bytes float64) float64 {
	for _, r := range b.Roof {
		if r.Name == name && r.Value > 0 {
			return bytes / (r.Value * 1e9)
		}
	}
	return 0
}

// savingBound says what a Pause must do that raw does not.
func (b *Bench) savingBound() string {
	const gib = 1 << 30
	return fmt.Sprintf("What bounds it: every page is hashed and on the disk before memory is given up, which for 1 GiB takes at least "+
		"%.2f s (SHA-256 on two threads) and %.2f s (write and fsync) here, in parallel at best; raw leaves its bytes in the page cache, unhashed.",
		b.seconds(roof.SHA256Two, gib), b.seconds(roof.DiskWrite, gib))
}

// capturingBound says what a first Commit must do that raw does not.
func (b *Bench) capturingBound() string {
	return fmt.Sprintf("What bounds it: what is captured goes to the disk, which takes 1 GiB in %.2f s here with a sync, which a commit does without; raw fills the page cache, "+
		"which costs as much as the machine's free memory: little where the pages were in use a moment ago, seconds where a virtual machine has to ask for them.",
		b.seconds(roof.DiskWrite, 1<<30))
}

// comparingBound says what a later Commit must do at least.
func (b *Bench) comparingBound() string {
	return fmt.Sprintf("What bounds it: gVisor does not tell which pages were written, so that all are copied and hashed to find them: %.2f s for 1 GiB on two threads here.",
		b.seconds(roof.SHA256Two, 1<<30))
}

// sendingBound says what a Commit must do at least.
func (b *Bench) sendingBound() string {
	const gib = 1 << 30
	return fmt.Sprintf("What bounds it: to hash and compress 1 GiB takes at least %.2f s and %.2f s of one core's time here; "+
		"the store's server and the link run on the same cores.",
		b.seconds(roof.SHA256, gib), b.seconds(roof.ZstdFastest, gib))
}

// startBound is about rows that are mostly runsc's own start.
const startBound = "What bounds it: most of it is runsc's own create and restore, which every peer pays; " +
	"the phases above are what ateom itself says."

// crowdBound says what eight Resumes at once must do that hand+ does not.
func (b *Bench) crowdBound() string {
	const bytes = crowd * 256 << 20
	return fmt.Sprintf("What bounds it: gVisor lets a system call wait for the whole area of memory that its buffer lies in, which in a Go program may be all of the heap. "+
		"Some of the eight therefore answer only when all of their memory is there, and what counts is the work for all 2 GiB on the cores that there are: a side-car reads each byte, "+
		"hashes it (%.2f s on two threads) and writes it into the memory of another process; hand+ has the sandbox itself read the file, and verifies nothing.",
		b.seconds(roof.SHA256Two, bytes))
}

// idleBound is about shims that have nothing to do.
const idleBound = "What bounds it: more than half of the memory that a shim shares with no other it has before it does anything, " +
	"in Go's runtime and the message types of containerd's API, as gVisor's has."

// downtimeBound is about the standstill of a small commit.
const downtimeBound = "What bounds it: a program comes to itself some time after its kernel was thawed, how long the freeze may have been (frozen and thawed at once); " +
	"ateom's own part are the phases freeze, capture and thaw."

// askingBound is about the freeze itself.
const askingBound = "What bounds it: the freeze is one call on the sandbox's control socket, and waits until every task of the sandbox has stopped, which wants a turn on a core for each; " +
	"before it come containerd's and the shim's turns. On two cores that are shared with the program itself, the tail is that of the scheduler: wake-ups has it too."

// noticingBound is about readiness.
const noticingBound = "What bounds it: the port is tried every millisecond, which takes 0.4 ms of CPU from the program. Then that has to answer its first request (tcpSocket wants none): how long it takes shows what " +
	"loop has above its tcpSocket. The return goes through shim, containerd and client, three processes that have slept."

// bytesBound is about what is fetched before it is needed.
const bytesBound = "What bounds it: runsc waits at a fault for 32 MiB around it, so that a program that touches two places fetches at least twice that, which is compressed to a half here."
