// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"

	"github.com/containerd/log"
)

// An undoList takes back what was done, last thing first.
type undoList []undoStep

type undoStep struct {
	what string
	do   func(context.Context) error
}

func (l *undoList) add(what string, do func(context.Context) error) {
	*l = append(*l, undoStep{what, do})
}

func (l *undoList) run(ctx context.Context) {
	// What led here may have ended ctx.
	ctx = context.WithoutCancel(ctx)
	for i := len(*l) - 1; i >= 0; i-- {
		if err := (*l)[i].do(ctx); err != nil {
			log.G(ctx).WithError(err).Warn("roll back: " + (*l)[i].what)
		}
	}
}
