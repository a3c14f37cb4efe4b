// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

// A shim of another release reads what a side-car cannot understand where it
// reads everything else that went wrong.
func TestASideCarOfAnotherReleaseSaysSo(t *testing.T) {
	bins, _ := programs(t)
	dir := privateDir(t)
	status := filepath.Join(dir, "status")
	config := filepath.Join(dir, job.SeatFile)
	must(t, os.WriteFile(config, fmt.Appendf(nil, `{"version":%d,"status":%q,"unheard-of":[]}`, job.SeatVersion+1, status), 0o600))
	f, err := os.Open(config)
	must(t, err)
	defer f.Close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close()
	defer far.Close()

	cmd := exec.Command(filepath.Join(bins, "gvisor-bin", job.SeatBinary))
	cmd.Args = []string{"runsc-" + job.SeatBinary, job.SeatBinary, "-sock-fd=3", "-gcs-opts-fd=4", "-allow-checkpoint-writes"}
	cmd.ExtraFiles = []*os.File{far, f}
	if err := cmd.Run(); err == nil {
		t.Error("the side-car ended well")
	}
	body, err := os.ReadFile(status)
	must(t, err)
	var told job.SeatStatus
	must(t, json.Unmarshal(body, &told))
	if told.Code != "failed_precondition" || !strings.Contains(told.Error, fmt.Sprintf("version %d", job.SeatVersion+1)) || !told.Ended {
		t.Errorf("the status is %+v", told)
	}
}
