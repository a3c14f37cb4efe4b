// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/containerd/errdefs"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// An Error says what failed on which object of which store.
type Error struct {
	// Op is the method in lower case, Key the object's key (empty for Check
	// and List), Store the store's String.
	Op, Key, Store string
	// Class is an errdefs sentinel or a context's error; errors.Is finds it.
	Class error
	// Detail is what the store's SDK said, without secrets.
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Key != "" {
		b.WriteString(" " + e.Key)
	}
	b.WriteString(" in store " + e.Store + ": ")
	if e.Detail != "" {
		b.WriteString(e.Detail + ": ")
	}
	b.WriteString(e.Class.Error())
	return b.String()
}

// Unwrap returns the class alone: the SDK's own error may print secrets.
func (e *Error) Unwrap() error { return e.Class }

// newError classifies err, an error of an SDK or the operating system.
func newError(store, op, key string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	return &Error{Op: op, Key: key, Store: store, Class: classify(err), Detail: detail(err)}
}

// detail is what an SDK or the operating system says, without secrets.
func detail(err error) string {
	var azure *azcore.ResponseError
	if errors.As(err, &azure) {
		return azureDetail(azure)
	}
	return redact(err.Error())
}

// classify finds the class of an SDK's or the operating system's error.
func classify(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, fs.ErrNotExist):
		return errdefs.ErrNotFound
	case errors.Is(err, fs.ErrExist):
		return errdefs.ErrAlreadyExists
	case errors.Is(err, fs.ErrPermission):
		return errdefs.ErrPermissionDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errdefs.ErrResourceExhausted
	}
	if class := azureClass(err); class != nil {
		return class
	}
	if status := httpStatus(err); status != 0 {
		if class := classifyStatus(status); class != nil {
			return class
		}
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return errdefs.ErrNotFound
	case gcerrors.AlreadyExists:
		return errdefs.ErrAlreadyExists
	case gcerrors.InvalidArgument:
		return errdefs.ErrInvalidArgument
	case gcerrors.PermissionDenied:
		return errdefs.ErrPermissionDenied
	case gcerrors.FailedPrecondition:
		return errdefs.ErrFailedPrecondition
	case gcerrors.Unimplemented:
		return errdefs.ErrNotImplemented
	case gcerrors.ResourceExhausted:
		return errdefs.ErrResourceExhausted
	}
	if isCredentials(err) {
		return errdefs.ErrUnauthenticated
	}
	if isName(err) {
		return errdefs.ErrNotFound
	}
	// What has no status never reached the store, or broke on the way.
	return errdefs.ErrUnavailable
}

// httpStatus returns the status that the store answered with, or 0.
func httpStatus(err error) int {
	var google *googleapi.Error
	if errors.As(err, &google) {
		return google.Code
	}
	var aws *smithyhttp.ResponseError
	if errors.As(err, &aws) && aws.Response != nil {
		return aws.HTTPStatusCode()
	}
	var azure *azcore.ResponseError
	if errors.As(err, &azure) {
		return azure.StatusCode
	}
	return 0
}

func classifyStatus(status int) error {
	switch status {
	case http.StatusNotFound:
		return errdefs.ErrNotFound
	case http.StatusUnauthorized:
		return errdefs.ErrUnauthenticated
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied
	case http.StatusPreconditionFailed:
		return errdefs.ErrFailedPrecondition
	case http.StatusRequestedRangeNotSatisfiable:
		return errdefs.ErrOutOfRange
	case http.StatusTooManyRequests:
		return errdefs.ErrResourceExhausted
	// S3 answers 409 to writers that race for one key: one must try again.
	case http.StatusRequestTimeout, http.StatusConflict:
		return errdefs.ErrUnavailable
	}
	switch {
	case status >= 500:
		return errdefs.ErrUnavailable
	case status == http.StatusBadRequest:
		return nil // the SDK's own code says more
	case status >= 400:
		return errdefs.ErrFailedPrecondition
	}
	return nil
}

// isCredentials reports whether an SDK found no usable credentials. The SDKs
// have no common type for that, so their words have to do.
func isCredentials(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch":
			return true
		}
	}
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "credentials") || strings.Contains(text, "get identity") || strings.Contains(text, "oauth2")
}

// isName reports whether the store's host name does not exist.
func isName(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// Temporary reports whether the same call may succeed later.
func Temporary(err error) bool {
	return errors.Is(err, errdefs.ErrUnavailable) || errors.Is(err, errdefs.ErrResourceExhausted)
}
