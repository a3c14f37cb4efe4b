// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket_test

import (
	"fmt"
	"testing"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
)

// openStore opens a store that ends with the test.
func openStore(t testing.TB, url string) bucket.Store {
	t.Helper()
	s, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestFileStore(t *testing.T) {
	storetest.Run(t, 10_000, func(t *testing.T) bucket.Store { return openStore(t, "file://"+t.TempDir()+"?prefix=a/b") })
}

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, 10_000, func(t *testing.T) bucket.Store { return openStore(t, "mem://?prefix=a/b") })
}

func TestS3Store(t *testing.T) {
	url, _ := storetest.S3(t)
	n := 0
	storetest.Run(t, 10_000, func(t *testing.T) bucket.Store {
		n++
		return openStore(t, fmt.Sprintf("%s&prefix=test-%d", url, n))
	})
}

func TestGCSStore(t *testing.T) {
	url, _ := storetest.GCS(t)
	n := 0
	storetest.Run(t, 10_000, func(t *testing.T) bucket.Store {
		n++
		return openStore(t, fmt.Sprintf("%s?prefix=test-%d", url, n))
	})
}

func TestAzureStore(t *testing.T) {
	url, _ := storetest.Azure(t)
	n := 0
	storetest.Run(t, 10_000, func(t *testing.T) bucket.Store {
		n++
		return openStore(t, fmt.Sprintf("%s?prefix=test-%d", url, n))
	})
}
