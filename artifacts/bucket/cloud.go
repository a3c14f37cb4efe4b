// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/containerd/errdefs"
	"gocloud.dev/blob"
)

const (
	// singleShot is the size up to which an object goes to S3 in one request.
	// Smaller than that there is nothing to resume, and no server's multipart
	// code is in the way.
	singleShot = 64 << 20
	// maxBuffer bounds the driver's copy of what it sends elsewhere.
	maxBuffer = 16 << 20
	// contentType is what every object has: the stores attach no meaning to it.
	contentType = "application/octet-stream"
)

// A cloudStore is a bucket that gocloud.dev opened.
type cloudStore struct {
	bucket *blob.Bucket
	name   string // of the bucket
	prefix string // "" or ends with "/"
	url    string // for people
	s3     *s3.Client
}

func newCloudStore(b *blob.Bucket, name, prefix, url string) *cloudStore {
	s := &cloudStore{bucket: b, name: name, prefix: prefix, url: url}
	if !b.As(&s.s3) {
		s.s3 = nil
	}
	return s
}

func (s *cloudStore) String() string { return s.url }

func (s *cloudStore) Close() error { return newError(s.url, "close", "", s.bucket.Close()) }

func (s *cloudStore) Check(ctx context.Context) error {
	ok, err := s.bucket.IsAccessible(ctx)
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
	r, err := s.bucket.NewRangeReader(ctx, s.prefix+key, offset, length, nil)
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
	return b.explain(newError(s.url, "put", key, s.write(ctx, key, b, false)))
}

func (s *cloudStore) Create(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := newError(s.url, "create", key, s.write(ctx, key, newBody(ctx, bytes.NewReader(data), int64(len(data))), true))
	var e *Error
	if errors.As(err, &e) && errors.Is(e.Class, errdefs.ErrFailedPrecondition) {
		e.Class, e.Detail = errdefs.ErrAlreadyExists, ""
	}
	return err
}

// write sends an object in one request where it can.
func (s *cloudStore) write(ctx context.Context, key string, b *body, create bool) error {
	// An upload that fails while its body is read must not be completed.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.s3 != nil && b.size <= singleShot {
		return s.putS3(ctx, key, b.section(), create)
	}
	opts := &blob.WriterOptions{ContentType: contentType, IfNotExist: create, DisableContentTypeDetection: true}
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

// putS3 sends an object from its own memory or file: the driver would copy
// the body into buffers of its own first.
func (s *cloudStore) putS3(ctx context.Context, key string, body *io.SectionReader, create bool) error {
	in := &s3.PutObjectInput{
		Bucket:        aws.String(s.name),
		Key:           aws.String(s.prefix + key),
		Body:          body,
		ContentLength: aws.Int64(body.Size()),
		ContentType:   aws.String(contentType),
	}
	if create {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := s.s3.PutObject(ctx, in)
	return err
}

func (s *cloudStore) Stat(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	a, err := s.bucket.Attributes(ctx, s.prefix+key)
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
			o, err := objects.Next(ctx)
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
	return newError(s.url, "delete", key, s.bucket.Delete(ctx, s.prefix+key))
}

// ignoreCanceled drops the error that a deliberate cancel causes.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
