// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
)

// decode reads one JSON value; a field that v has not is an error.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// List reads an annotation whose value is a JSON list of at most limit things,
// each of which complete checks and fills in. Its errors begin with the path of the field. An
// empty text is an empty list. Errors are errdefs.ErrInvalidArgument.
func List[T any](key, text string, limit int, complete func(*T) error) ([]T, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var list []json.RawMessage
	if err := decode([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", key, err, errdefs.ErrInvalidArgument)
	}
	if len(list) > limit {
		return nil, fmt.Errorf("%s: %d entries are more than %d: %w", key, len(list), limit, errdefs.ErrInvalidArgument)
	}
	found := make([]T, len(list))
	for i := range found {
		if err := decode(list[i], &found[i]); err != nil {
			return nil, fmt.Errorf("%s[%d]: %w: %w", key, i, err, errdefs.ErrInvalidArgument)
		}
		if err := complete(&found[i]); err != nil {
			return nil, fmt.Errorf("%s[%d]%w: %w", key, i, err, errdefs.ErrInvalidArgument)
		}
	}
	return found, nil
}
