// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"io"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
)

// openS3 opens a bucket with the credentials of AWS's default chain.
func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	q := u.Query()
	if !q.Has("response_checksum_validation") {
		// Ranges have no checksum, which the SDK would note for each of them;
		// every byte is compared with a digest anyway.
		q.Set("response_checksum_validation", "when_required")
	}
	with := *u
	with.RawQuery = q.Encode()
	return blob.DefaultURLMux().OpenBucketURL(ctx, &with)
}

// putS3 returns what sends an object into a bucket of S3's.
func putS3(c *s3.Client, bucket string) putFunc {
	return func(ctx context.Context, key string, body *io.SectionReader, create createMode) error {
		in := &s3.PutObjectInput{
			Bucket:        aws.String(bucket),
			Key:           aws.String(key),
			Body:          body,
			ContentLength: aws.Int64(body.Size()),
			ContentType:   aws.String(contentType),
		}
		if create == createOnly {
			in.IfNoneMatch = aws.String("*")
		}
		_, err := c.PutObject(ctx, in)
		return err
	}
}
