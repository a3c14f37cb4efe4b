// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// guests are the programs that Guest has built, by package.
var guests struct {
	sync.Mutex
	built map[string]string
}

// Guest builds a Go program, once a run, and returns its path.
func Guest(t testing.TB, pkg string) string {
	t.Helper()
	guests.Lock()
	defer guests.Unlock()
	if path := guests.built[pkg]; path != "" {
		return path
	}
	path := filepath.Join(here.dir, "guests", strings.NewReplacer("/", "-", ".", "").Replace(pkg))
	ctx, cancel := context.WithTimeout(context.Background(), 5*Limit)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // the images have no libraries for it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	if guests.built == nil {
		guests.built = map[string]string{}
	}
	guests.built[pkg] = path
	return path
}

// GuestContainer returns a container that runs such a program, at /guest.
func GuestContainer(t testing.TB, pkg string, network *lab.Net, annotations map[string]string, args ...string) Container {
	t.Helper()
	return Container{
		Args:        append([]string{"/guest"}, args...),
		Network:     network,
		Annotations: annotations,
		Opts: []oci.SpecOpts{oci.WithMounts([]specs.Mount{
			{Destination: "/guest", Type: "bind", Source: Guest(t, pkg), Options: []string{"bind", "ro"}},
		})},
	}
}
