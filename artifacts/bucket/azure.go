// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/containerd/errdefs"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

const (
	// azureBlock is the least size of a block of an object that goes in many
	// requests, and azureBlocks how many of them are in memory.
	azureBlock  = 8 << 20
	azureBlocks = 4
	// azureMaxBlocks is how many blocks an object may have
	// (learn.microsoft.com/azure/storage/blobs/scalability-targets).
	azureMaxBlocks = 50_000
)

// openAzure opens a container. The credentials are those of the environment as
// it is now, where gocloud.dev's own opener keeps those of a process's first store.
func openAzure(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	service := azureblob.NewDefaultServiceURLOptions()
	if service.AccountName == "" && !u.Query().Has("storage_account") {
		return nil, errors.New("the URL names no storage_account, and neither AZURE_STORAGE_ACCOUNT nor AZURE_STORAGE_CONNECTION_STRING is set")
	}
	opener := azureblob.URLOpener{MakeClient: azureblob.NewDefaultClient, ServiceURLOptions: *service}
	return opener.OpenBucketURL(ctx, u)
}

// withoutSDKRetries leaves the retries to Retry: the SDK's would multiply them.
func withoutSDKRetries(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}

// putAzure returns what sends an object into c from its own memory or file, in
// one request or, where it is large, in blocks that nobody sees before the last
// request names them.
func putAzure(c *container.Client) putFunc {
	return func(ctx context.Context, key string, body *io.SectionReader, create createMode) error {
		client := c.NewBlockBlobClient(key)
		headers := &azblob.HTTPHeaders{BlobContentType: to.Ptr(contentType)}
		conditions := &azblob.AccessConditions{}
		if create == createOnly {
			conditions.ModifiedAccessConditions = &azblob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}
		}
		if body.Size() <= singleShot {
			_, err := client.Upload(ctx, streaming.NopCloser(body), &blockblob.UploadOptions{
				HTTPHeaders: headers, AccessConditions: conditions,
			})
			return err
		}
		// A block that fails costs no more than itself: these the SDK may try again.
		_, err := client.UploadStream(policy.WithRetryOptions(ctx, policy.RetryOptions{}), body, &blockblob.UploadStreamOptions{
			BlockSize: max(azureBlock, body.Size()/azureMaxBlocks+1), Concurrency: azureBlocks,
			HTTPHeaders: headers, AccessConditions: conditions,
		})
		return err
	}
}

// azureClass returns the class of an answer of Azure's whose code says more
// than its status, or nil.
func azureClass(err error) error {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return nil
	}
	switch bloberror.Code(answer.ErrorCode) {
	case bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo, bloberror.NoAuthenticationInformation:
		return errdefs.ErrUnauthenticated
	case bloberror.BlobAlreadyExists:
		return errdefs.ErrAlreadyExists
	}
	return nil
}

// azureDetail is what Azure answered, in a few words. The SDK's text has many
// lines, the string that was signed among them.
func azureDetail(answer *azcore.ResponseError) string {
	return fmt.Sprintf("Azure answered %d %s (%s)", answer.StatusCode, http.StatusText(answer.StatusCode), answer.ErrorCode)
}
