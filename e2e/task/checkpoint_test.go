// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/ateom/ateom/e2e/harness"
)

// What containerd itself keeps of a checkpoint is an image in its content
// store, from which its clients start tasks.
func TestATaskStartsFromContainerdsCheckpointImage(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{Args: []string{"sh", "-c", counting}})
	awaitMore(t, task)
	ctx := n.Context(t)
	image, err := task.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	awaitMore(t, task)
	task.KillAndWait(t, syscall.SIGKILL)
	if _, err := task.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	before := strings.Count(task.Log(t), "\n")

	task.Task, err = task.Container.NewTask(ctx, cio.LogFile(task.LogPath), client.WithTaskCheckpoint(image))
	if err != nil {
		t.Fatalf("create task from checkpoint: %v", err)
	}
	if err := task.Start(ctx); err != nil {
		t.Fatalf("start task from checkpoint: %v", err)
	}
	harness.Eventually(t, func() error { return moreLines(task.Log(t), before+10) })
	lines := strings.Split(strings.TrimSpace(task.Log(t)), "\n")
	first, err := strconv.Atoi(lines[before])
	if err != nil {
		t.Fatal(err)
	}
	if first < 10 || first > before {
		t.Errorf("after %d lines the restored program writes %d: it has not gone on from the checkpoint", before, first)
	}
}
