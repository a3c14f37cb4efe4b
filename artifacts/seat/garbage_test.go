// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/flipcall"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// runGofer starts the real program in the seat of cfg and returns its socket
// and a channel that is closed when it has ended.
func runGofer(t *testing.T, cfg job.Seat) (*unet.Socket, <-chan struct{}) {
	t.Helper()
	bins, _ := programs(t)
	cfg.Version = job.SeatVersion
	config, err := os.Open(filepath.Join(writeSeat(t, cfg), job.SeatFile))
	must(t, err)
	defer config.Close()
	ours, theirs, err := unet.SocketPair(false)
	must(t, err)
	fd, err := theirs.Release()
	must(t, err)
	sock := os.NewFile(uintptr(fd), "socket")
	defer sock.Close()
	direction := "-allow-checkpoint-writes"
	if cfg.Mode == job.Restore {
		direction = "-allow-checkpoint-reads"
	}
	cmd := exec.Command(filepath.Join(bins, "gvisor-bin", job.SeatBinary), job.SeatBinary, "-sock-fd=3", "-gcs-opts-fd=4", direction)
	cmd.ExtraFiles = []*os.File{sock, config}
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // with whatever code: the test looks at when
	}()
	t.Cleanup(func() {
		ours.Close()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Error("the gofer does not end")
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	return ours, ended
}

// What a kernel that was taken over writes into shared memory may end its own
// gofer, and nothing else: the gofer never hangs and leaves no part that looks
// whole.
func TestGarbageInThePacketWindowIsAnsweredOrEndsTheGofer(t *testing.T) {
	for _, mode := range []job.Mode{job.Save, job.Restore} {
		for _, submissions := range []uint32{1, saveParallel, saveParallel + 1, 10000} {
			t.Run(fmt.Sprintf("%s %d", mode, submissions), func(t *testing.T) {
				dir := privateDir(t)
				wire := stateipc.OpenModeWrite
				if mode == job.Restore {
					dir, _ = sampleSnapshot(t, 4096)
					wire = stateipc.OpenModeRead
				}
				sock, ended := runGofer(t, job.Seat{Mode: mode, Dir: dir})
				c := urpc.NewClient(sock)
				var resp stateipc.OpenResponse
				must(t, c.Call("AsyncFileServer.Open", &stateipc.OpenRequest{Path: "pages.img", Mode: wire}, &resp))
				defer resp.Files[0].Close()
				var ep flipcall.Endpoint
				must(t, ep.Init(flipcall.ClientSide, flipcall.PacketWindowDescriptor{
					FD: int(resp.Files[0].Fd()), Offset: resp.PacketWindowOffset, Length: resp.PacketWindowLength,
				}))
				defer ep.Destroy()
				must(t, ep.Connect())
				copy(ep.Data(), random(t, len(ep.Data())))
				clear(ep.Data()[:16]) // neither final nor waiting for anything
				answered := make(chan struct{})
				go func() {
					defer close(answered)
					_, _ = ep.SendRecv(submissions)
				}()
				select {
				case <-answered:
				case <-ended:
				case <-time.After(30 * time.Second):
					t.Error("neither answered nor ended")
				}
				ep.Shutdown()
				<-answered
				if mode == job.Save && exists(t, filepath.Join(dir, job.PartFile(artifacts.PartPages))) {
					t.Error("a part is described as whole")
				}
			})
		}
	}
}
