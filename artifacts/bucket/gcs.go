// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"net/url"
	"os"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

// gcsAttempts is how often GCS's SDK sends a request, of which an object may
// take many, before Retry hears of it. Its default is for ever; this is the
// default of AWS's.
const gcsAttempts = 3

// openGCS opens a bucket with the application default credentials of the
// environment as it is now. gocloud.dev's own opener keeps those of a process's
// first store, and where there are none, says so on standard output, which is
// the gofer's wire to the shim.
func openGCS(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	q := u.Query()
	opener := &gcsblob.URLOpener{Client: gcp.NewAnonymousHTTPClient(gcp.DefaultTransport())}
	domain := q.Get("universe_domain")
	if domain != "" {
		opener.Options.ClientOptions = []option.ClientOption{option.WithUniverseDomain(domain)}
	}
	anonymous := q.Get("anonymous") == "true" || q.Get("access_id") == "-"
	if !anonymous && os.Getenv("STORAGE_EMULATOR_HOST") == "" && os.Getenv("STORAGE_EMULATOR_HOST_GRPC") == "" {
		credentials, err := gcp.DefaultCredentialsWithParams(ctx, google.CredentialsParams{UniverseDomain: domain})
		if err != nil {
			return nil, err
		}
		opener.TokenSource = gcp.CredentialsTokenSource(credentials)
		if opener.Client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), opener.TokenSource); err != nil {
			return nil, err
		}
	}
	return opener.OpenBucketURL(ctx, u)
}

// boundRetriesGCS bounds the SDK's own retries.
func boundRetriesGCS(c *storage.Client) { c.SetRetry(storage.WithMaxAttempts(gcsAttempts)) }
