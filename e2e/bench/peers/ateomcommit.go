// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ateom/ateom/artifacts"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// storeName is what the peer's configuration calls the bucket.
const storeName = "bucket"

// Commit asks the sandbox's own service.
func (s *ateomSandbox) Commit(ctx context.Context, scope artifacts.Scope) (string, error) {
	c, err := s.service(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	stream, err := ateomv1.NewSnapshotsClient(c).Commit(inNamespace(ctx),
		&ateomv1.CommitRequest{Id: s.id, Scope: string(scope), Store: storeName})
	if err != nil {
		return "", fmt.Errorf("commit %s: %w", s.id, err)
	}
	var id string
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) && id != "" {
			return id, nil
		}
		if err != nil {
			return "", fmt.Errorf("commit %s: %w", s.id, err)
		}
		if done := event.GetDone(); done != nil {
			id = done.GetSnapshot().GetId()
		}
	}
}
