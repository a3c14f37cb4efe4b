// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/binary"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

type chunk struct {
	Length uint32
	Digest artifacts.Digest
}

func encodeRecipe(cs []chunk) []byte {
	out := []byte{}
	for _, c := range cs {
		out = binary.LittleEndian.AppendUint32(out, c.Length)
		out = append(out, c.Digest[:]...)
	}
	return out
}

func decodeRecipe(b []byte) ([]chunk, error) {
	if len(b)%36 != 0 {
		return nil, fmt.Errorf("bad recipe: %w", errdefs.ErrDataLoss)
	}
	cs := make([]chunk, len(b)/36)
	for i := range cs {
		cs[i].Length = binary.LittleEndian.Uint32(b[i*36:])
		copy(cs[i].Digest[:], b[i*36+4:])
	}
	return cs, nil
}
