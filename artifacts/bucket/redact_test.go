// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
)

func TestTextIsShownWithoutSecrets(t *testing.T) {
	const secret = "Hq7vX2cR9sT4kLmN"
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	for _, text := range []string{
		"Get \"https://user:" + secret + "@host/bucket/key\": refused",
		"Get https://host/key?X-Amz-Signature=" + secret + "&X-Amz-Date=1: refused",
		"header Authorization: AWS4-HMAC-SHA256 " + secret + " is wrong",
		"header Authorization: Bearer " + secret,
		`{"private_key": "` + secret + `"}`,
		"token=" + secret,
		"bare " + secret + " anywhere",
		"password: '" + secret + "'",
	} {
		if got := bucket.Redact(text); strings.Contains(got, secret) {
			t.Errorf("%q shows the secret", got)
		}
	}
	const harmless = "put packs/ab/abcd in store s3://bucket: https response error StatusCode: 503, try later"
	if got := bucket.Redact(harmless); got != harmless {
		t.Errorf("%q became %q", harmless, got)
	}
	if got := bucket.Redact("key AKIAIOSFODNN7EXAMPLE is unknown"); strings.Contains(got, "AKIA") {
		t.Errorf("%q shows the access key", got)
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	url, _ := storetest.S3(t)
	const wrong = "a-secret-that-is-wrong-0001"
	t.Setenv("AWS_SECRET_ACCESS_KEY", wrong)
	s, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Put(t.Context(), "a", strings.NewReader("x"), 1)
	if !errors.Is(err, errdefs.ErrPermissionDenied) && !errors.Is(err, errdefs.ErrUnauthenticated) {
		t.Errorf("put with a wrong secret: %v", err)
	}
	for _, secret := range []string{wrong, storetest.SecretKey} {
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("the error shows a secret: %v", e)
			}
		}
	}
}

func TestBadURLsAreRefused(t *testing.T) {
	for _, raw := range []string{
		"", "bucket", "ftp://bucket", "http://host/x", "file://host/dir", "file:relative", "file:///dir?create=1",
		"s3://", "gs://", "s3://b?prefix=../x", "s3://b?prefix=/x", "s3://b?prefix=a//b", "mem://?prefix=.x",
		"s3://b?nonsense=1", "mem://?max_requests=0", "mem://?max_requests=many", "file:///tmp?max_bytes_per_second=-1", "://", "s3://user:hunter2hunter2@b%zz",
	} {
		s, err := bucket.Open(t.Context(), raw)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("open %q: %v, want invalid argument", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("open %q shows the password: %v", raw, err)
		}
	}
}

func TestMissingBucketIsNotFound(t *testing.T) {
	_, address := storetest.S3(t)
	s, err := bucket.Open(t.Context(), storetest.S3URL("nobodys", address))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("check: %v, want not found", err)
	}
	if err := s.Put(t.Context(), "a", strings.NewReader("x"), 1); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("put: %v, want not found", err)
	}
}

func TestStoreNamesItselfWithoutSecrets(t *testing.T) {
	s, err := bucket.Open(t.Context(), "s3://bucket?region=r&endpoint=http://user:hunter2@127.0.0.1:1&prefix=p&anonymous=true")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "prefix=p") {
		t.Errorf("the store calls itself %q", got)
	}
}
