// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"fmt"
	"time"
)

// A LimitError says how long somebody has waited in vain. It is a
// context.DeadlineExceeded.
type LimitError struct{ Limit time.Duration }

func (e *LimitError) Error() string { return fmt.Sprintf("no answer within %s", e.Limit) }

func (e *LimitError) Unwrap() error { return context.DeadlineExceeded }

// Within is context.WithTimeout whose cause says what the limit was.
func Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, &LimitError{limit})
}
