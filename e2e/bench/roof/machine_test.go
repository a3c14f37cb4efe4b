// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roof

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestDescribeKnowsThisMachine(t *testing.T) {
	runsc := filepath.Join(t.TempDir(), "runsc")
	if err := os.WriteFile(runsc, []byte("#!/bin/sh\necho runsc version v7\necho spec: 1.2.1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := Describe(t.TempDir(), runsc)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores != runtime.NumCPU() || m.Memory < 64<<20 || m.Runsc != "v7" || !strings.HasPrefix(m.Kernel, "Linux ") || m.CPU == "" || m.Disk == "" {
		t.Errorf("machine %+v", m)
	}
	if _, err := Describe(t.TempDir(), "/nonexistent"); err == nil {
		t.Error("no error for a runsc that is not there")
	}
}

func TestABusyMachineIsNamed(t *testing.T) {
	if busy := (Machine{Cores: 4, Load: 1.9}).Busy(); busy != "" {
		t.Errorf("half idle: %q", busy)
	}
	if busy := (Machine{Cores: 4, Load: 2.5}).Busy(); !strings.Contains(busy, "2.5") {
		t.Errorf("busy: %q", busy)
	}
}
