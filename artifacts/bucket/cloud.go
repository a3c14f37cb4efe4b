// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"math"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/containerd/errdefs"
	"gocloud.dev/blob"
)

const (
	// singleShot is the size up to which an object goes to S3 or Azure in one
	// request. Smaller than that there is nothing to resume, and no server's
	// multipart code is in the way.
	singleShot = 64 << 20
	// maxBuffer bounds the driver's copy of what it sends elsewhere.
	maxBuffer = 16 << 20
	// contentType is what every object has: the stores attach no meaning to it.
	contentType = "application/octet-stream"
)

// A cloudStore is a bucket that gocloud.dev opened.
type cloudStore struct {
	bucket *blob.Bucket
	prefix string // "" or ends with "/"
	url    string // for people
	// put sends objects of up to putMax bytes; nil: the driver does.
	put    putFunc
	putMax int64
	// call prepares the context of a call for the SDK.
	call func(context.Context) context.Context
}

// A createMode says whether an object may be replaced.
type createMode int

const (
	replace createMode = iota
	createOnly
)

// A putFunc sends a whole object from its own memory or file, where a driver
// would copy it into buffers of its own first.
type putFunc func(ctx context.Context, key string, body *io.SectionReader, create createMode) error

// newCloudStore returns the store below prefix in the bucket b, whose own name is name.
func newCloudStore(b *blob.Bucket, prefix, url, name string) *cloudStore {
	s := &cloudStore{bucket: b, prefix: prefix, url: url}
	s.call = func(ctx context.Context) context.Context { return ctx }
	var (
		s3Client *s3.Client
		gcs      *storage.Client
		azure    *container.Client
	)
	switch {
	case b.As(&s3Client):
		s.put, s.putMax = putS3(s3Client, name), singleShot
	case b.As(&gcs):
		boundRetriesGCS(gcs)
	case b.As(&azure):
		s.put, s.putMax = putAzure(azure), math.MaxInt64
		s.call = withoutSDKRetries
	}
	return s
}

func (s *cloudStore) String() string { return s.url }

func (s *cloudStore) Close() error { return newError(s.url, "close", "", s.bucket.Close()) }

func (s *cloudStore) Check(ctx context.Context) error {
	ok, err := s.bucket.IsAccessible(s.call(ctx))
	if err != nil {
		return newError(s.url, "check", "", err)
	}
	if !ok {
		return &Error{Op: "check", Store: s.url, Class: errdefs.ErrNotFound, Detail: "there is no such bucket"}
	}
	return nil
}

func (s *cloudStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	r, err := s.bucket.NewRangeReader(s.call(ctx), s.prefix+key, offset, length, nil)
	if err != nil {
		return nil, newError(s.url, "get", key, err)
	}
	return &cloudReader{r: r, store: s, key: key}, nil
}

// A cloudReader classifies the errors of a body on its way.
type cloudReader struct {
	r     *blob.Reader
	store *cloudStore
	key   string
}

func (r *cloudReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, newError(r.store.url, "get", r.key, err)
}

func (r *cloudReader) Close() error {
	return newError(r.store.url, "get", r.key, r.r.Close())
}

func (s *cloudStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	b := newBody(ctx, body, size)
	return b.explain(newError(s.url, "put", key, s.write(s.call(ctx), key, b, replace)))
}

func (s *cloudStore) Create(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := newError(s.url, "create", key, s.write(s.call(ctx), key, newBody(ctx, bytes.NewReader(data), int64(len(data))), createOnly))
	var e *Error
	if errors.As(err, &e) && errors.Is(e.Class, errdefs.ErrFailedPrecondition) {
		e.Class, e.Detail = errdefs.ErrAlreadyExists, ""
	}
	return err
}

// write sends an object in one request where it can.
func (s *cloudStore) write(ctx context.Context, key string, b *body, create createMode) error {
	// An upload that fails while its body is read must not be completed.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.put != nil && b.size <= s.putMax {
		return s.put(ctx, s.prefix+key, b.section(), create)
	}
	opts := &blob.WriterOptions{ContentType: contentType, IfNotExist: create == createOnly, DisableContentTypeDetection: true}
	// The driver sends what fits into its buffer in one request, and only when
	// the body has ended well.
	opts.BufferSize = int(min(b.size+1, maxBuffer))
	w, err := s.bucket.NewWriter(ctx, s.prefix+key, opts)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, b.section()); err != nil {
		cancel()
		return errors.Join(err, ignoreCanceled(w.Close()))
	}
	return w.Close()
}

func (s *cloudStore) Stat(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	a, err := s.bucket.Attributes(s.call(ctx), s.prefix+key)
	if err != nil {
		return Info{}, newError(s.url, "stat", key, err)
	}
	return Info{Key: key, Size: a.Size, ModTime: a.ModTime}, nil
}

func (s *cloudStore) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(Info{}, err)
			return
		}
		objects := s.bucket.List(&blob.ListOptions{Prefix: s.prefix + prefix})
		for {
			o, err := objects.Next(s.call(ctx))
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Info{}, newError(s.url, "list", prefix, err))
				return
			}
			if !yield(Info{Key: o.Key[len(s.prefix):], Size: o.Size, ModTime: o.ModTime}, nil) {
				return
			}
		}
	}
}

func (s *cloudStore) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return newError(s.url, "delete", key, s.bucket.Delete(s.call(ctx), s.prefix+key))
}

// ignoreCanceled drops the error that a deliberate cancel causes.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
