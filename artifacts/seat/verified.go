// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// maxIdle bytes of chunks that have been handed out in part are kept for the
// reads that take the rest.
const maxIdle = 16 << 20

// verified hands out chunks that match their recipe, each read once however
// many ask for it at the same time.
type verified struct {
	src    source
	part   string
	status *status

	mu   sync.Mutex
	have map[int]*verifiedChunk
	idle *list.List // of *verifiedChunk, the least recently used in front
	size int        // of the idle chunks, in bytes
}

// A verifiedChunk may be read once ready is closed and err is nil.
type verifiedChunk struct {
	index int
	ready chan struct{}
	buf   *buffer
	err   error

	users  int
	served int
	idle   *list.Element
}

func newVerified(part string, src source, st *status) *verified {
	return &verified{src: src, part: part, status: st, have: make(map[int]*verifiedChunk), idle: list.New()}
}

// get returns chunk i, to be given back with put.
func (v *verified) get(ctx context.Context, i int) (*verifiedChunk, error) {
	v.mu.Lock()
	c := v.have[i]
	if c == nil {
		c = &verifiedChunk{index: i, ready: make(chan struct{}), users: 1}
		v.have[i] = c
		v.mu.Unlock()
		c.buf, c.err = v.read(ctx, i)
		close(c.ready)
	} else {
		c.users++
		if c.idle != nil {
			v.idle.Remove(c.idle)
			v.size -= len(c.buf.b)
			c.idle = nil
		}
		v.mu.Unlock()
		<-c.ready
	}
	if c.err != nil {
		v.put(c, 0)
		return nil, c.err
	}
	return c, nil
}

// put gives c back after n of its bytes have been used. A chunk of which all
// bytes have been used, or which could not be read, is forgotten.
func (v *verified) put(c *verifiedChunk, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c.users--
	c.served += n
	if c.users > 0 {
		return
	}
	if c.err != nil || c.served >= len(c.buf.b) {
		v.forget(c)
		return
	}
	c.idle = v.idle.PushBack(c)
	v.size += len(c.buf.b)
	for v.size > maxIdle {
		old := v.idle.Remove(v.idle.Front()).(*verifiedChunk)
		v.size -= len(old.buf.b)
		v.forget(old)
	}
}

func (v *verified) forget(c *verifiedChunk) {
	delete(v.have, c.index)
	if c.buf != nil {
		c.buf.free()
	}
}

// read brings chunk i; its source compares it with the recipe.
func (v *verified) read(ctx context.Context, i int) (*buffer, error) {
	want := v.src.recipe().Chunk(i)
	b := newBuffer(int(want.Length))
	b.b = b.b[:want.Length]
	if err := v.src.readChunk(ctx, i, b.b); err != nil {
		b.free()
		return nil, fmt.Errorf("read chunk %d of part %s: %w", i, v.part, err)
	}
	v.status.verified(int64(want.Length))
	return b, nil
}
