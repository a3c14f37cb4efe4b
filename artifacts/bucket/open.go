// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/blob/s3blob"
)

// Open opens the store that a URL names:
//
//	file:///dir
//	mem://
//	s3://bucket?region=…&endpoint=…&use_path_style=true
//	gs://bucket
//	azblob://container?storage_account=…
//
// Known to all of them are the parameters prefix, which places the store below
// a key prefix, and max_requests and max_bytes_per_second, which set Limits;
// the others are those of gocloud.dev's drivers. Credentials come from
// each SDK's default chain. Open does not wait for the store to answer: Check
// does. A store on a network retries what is worth it (DefaultPolicy). The
// error is ErrInvalidArgument for a URL that names no store.
func Open(ctx context.Context, rawURL string) (Store, error) {
	s, limits, err := open(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	if _, ok := s.(*fileStore); ok {
		return Limit(s, limits), nil // a disk that refuses will refuse again
	}
	policy := DefaultPolicy
	if limits.BytesPerSecond > 0 {
		// What is sent while it is paced shares the bandwidth with others.
		policy.SlowestRate = max(1, min(policy.SlowestRate, int64(limits.BytesPerSecond)/32))
	}
	return Limit(Retry(s, policy), limits), nil
}

// open opens the store without decorators.
func open(ctx context.Context, rawURL string) (Store, Limits, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, Limits{}, fmt.Errorf("open store: not a URL: %w", errdefs.ErrInvalidArgument) // err would print it
	}
	q := u.Query()
	limits, err := takeLimits(q)
	if err != nil {
		return nil, Limits{}, fmt.Errorf("open store %s: %w", publicURL(u), err)
	}
	s, err := openDriver(ctx, u, q)
	return s, limits, err
}

// openDriver opens the store of a URL whose parameters, less what is not the
// driver's, are q.
func openDriver(ctx context.Context, u *url.URL, q url.Values) (Store, error) {
	prefix := strings.TrimSuffix(q.Get("prefix"), "/")
	if prefix != "" {
		if err := CheckKey(prefix); err != nil {
			return nil, fmt.Errorf("open store %s: prefix: %w", publicURL(u), err)
		}
		prefix += "/"
	}
	q.Del("prefix")
	if u.Scheme == "file" {
		if u.Host != "" || u.Path == "" || u.Path[0] != '/' || len(q) > 0 {
			return nil, fmt.Errorf("open store %s: want file:///absolute/path and no parameter but prefix and limits: %w",
				publicURL(u), errdefs.ErrInvalidArgument)
		}
		return newFileStore(u.Path, prefix, publicURL(u))
	}
	openBucket, ok := openers[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("open store %s: scheme %q is unknown, use file, s3, gs, azblob or mem: %w",
			publicURL(u), u.Scheme, errdefs.ErrInvalidArgument)
	}
	if u.Host == "" && u.Scheme != memblob.Scheme {
		return nil, fmt.Errorf("open store %s: the URL names no bucket: %w", publicURL(u), errdefs.ErrInvalidArgument)
	}
	name := publicURL(u)
	inner := *u
	inner.RawQuery = q.Encode()
	b, err := openBucket(ctx, &inner)
	if err != nil {
		return nil, &Error{Op: "open", Store: name, Class: openClass(err), Detail: redact(err.Error())}
	}
	return newCloudStore(b, prefix, name, u.Host), nil
}

// openers open the buckets that gocloud.dev knows, by scheme.
var openers = map[string]func(context.Context, *url.URL) (*blob.Bucket, error){
	s3blob.Scheme:    openS3,
	gcsblob.Scheme:   openGCS,
	azureblob.Scheme: openAzure,
	memblob.Scheme:   new(memblob.URLOpener).OpenBucketURL,
}

// openClass tells missing credentials from a bad parameter: opening asks no server.
func openClass(err error) error {
	if isCredentials(err) {
		return errdefs.ErrUnauthenticated
	}
	return errdefs.ErrInvalidArgument
}
