// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
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
		"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=" + secret + ";EndpointSuffix=core.windows.net",
		"BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=2024-11-04&sig=" + secret + "&se=2030",
		"GET https://a.blob.core.windows.net/c/k?sv=2024-11-04&sig=" + secret + ": refused",
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
	const wrong = "a2V5LXRoYXQtaXMtd3Jvbmctc2VjcmV0LTAwMDE="
	for _, c := range []struct {
		name   string
		start  func(testing.TB) (url, address string)
		spoil  func(url, address string) (variable, value, spoilt string)
		secret string // the right one
	}{
		{"s3: wrong key", storetest.S3, func(url, _ string) (string, string, string) {
			return "AWS_SECRET_ACCESS_KEY", wrong, url
		}, storetest.SecretKey},
		{"azblob: wrong key", storetest.Azure, func(url, address string) (string, string, string) {
			right := storetest.AzureConnection(address)
			return "AZURE_STORAGE_CONNECTION_STRING", strings.Replace(right, storetest.AzureKey, wrong, 1), url
		}, storetest.AzureKey},
		{"azblob: wrong signature", storetest.Azure, func(url, address string) (string, string, string) {
			return "AZURE_STORAGE_SAS_TOKEN", "sv=2024-11-04&ss=b&srt=sco&sp=rwl&se=2020-01-01T00:00:00Z&sig=" + wrong,
				url + "?storage_account=" + storetest.AzureAccount + "&protocol=http&domain=" + address
		}, storetest.AzureKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			variable, value, url := c.spoil(c.start(t))
			t.Setenv(variable, value)
			s, err := bucket.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, getErr := s.Get(t.Context(), "a", 0, 1)
			for _, err := range []error{s.Put(t.Context(), "a", strings.NewReader("x"), 1), s.Check(t.Context()), getErr} {
				if !errors.Is(err, errdefs.ErrPermissionDenied) && !errors.Is(err, errdefs.ErrUnauthenticated) {
					t.Errorf("with a wrong secret: %v", err)
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					if strings.Contains(e.Error(), wrong) || strings.Contains(e.Error(), c.secret) {
						t.Errorf("the error shows a secret: %v", e)
					}
				}
			}
		})
	}
}

func TestMissingCredentialsAreSaidToBe(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential") // asks no network
	stdout := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	for _, url := range []string{"gs://bucket", "azblob://bucket?storage_account=nobodys"} {
		s, err := bucket.Open(t.Context(), url)
		if err == nil {
			err = s.Check(t.Context())
			s.Close()
		}
		if !errors.Is(err, errdefs.ErrUnauthenticated) {
			t.Errorf("%s without credentials: %v, want unauthenticated", url, err)
		}
	}
	os.Stdout = stdout
	w.Close()
	if printed, err := io.ReadAll(r); err != nil || len(printed) > 0 {
		t.Errorf("on standard output, which is the gofer's wire: %q, %v", printed, err)
	}
}

func TestBadURLsAreRefused(t *testing.T) {
	for _, raw := range []string{
		"", "bucket", "ftp://bucket", "http://host/x", "file://host/dir", "file:relative", "file:///dir?create=1",
		"s3://", "gs://", "azblob://", "azblob://c", "azblob://c?storage_account=a&nonsense=1", "s3://b?prefix=../x", "s3://b?prefix=/x", "s3://b?prefix=a//b", "mem://?prefix=.x",
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
	storetest.GCS(t)
	storetest.Azure(t)
	for _, url := range []string{storetest.S3URL("nobodys", address), "gs://nobodys", "azblob://nobodys"} {
		s, err := bucket.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Check(t.Context()); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("check %s: %v, want not found", url, err)
		}
		if err := s.Put(t.Context(), "a", strings.NewReader("x"), 1); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("put into %s: %v, want not found", url, err)
		}
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
