// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import "github.com/ateom/ateom/durabledir/paxtar"

// A kept is the content of a regular file in a spool, and what its header needs.
type kept struct {
	fd      int // of the spool
	base    int64
	stat    stat
	xattrs  []paxtar.Xattr
	sparse  bool
	extents []paxtar.Extent
}

// open returns the content as that of e.
func (k *kept) open(e *entry) *content {
	c := &content{fd: k.fd, stat: k.stat, spooled: true, base: k.base, Header: fileHeader(e.path(), &k.stat)}
	c.Xattrs, c.Sparse, c.Extents = k.xattrs, k.sparse, k.extents
	return c
}
