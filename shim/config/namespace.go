// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// The pods of a Kubernetes namespace have a part of each store for themselves:
// what they name is looked up below a prefix that holds the namespace's name as
// one whole path element, so that no namespace's part contains another's.
const (
	// namespaceMark stands, as a path element of a store's prefix, for the namespace.
	namespaceMark = "{namespace}"
	// namespaceDir is added to the prefix, with the namespace, where there is no mark.
	namespaceDir = "namespaces"
)

// namespaceName is what Kubernetes lets a namespace be called, a DNS label.
var namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// PodStore returns the store of that name as the pods of a Kubernetes namespace
// have it; an empty name means the default one.
func (c *Config) PodStore(name, namespace string) (string, Store, error) {
	if strings.Contains(name, "/") {
		return "", Store{}, fmt.Errorf("store %q: want a name of the node's configuration: %w", name, errdefs.ErrInvalidArgument)
	}
	name, s, err := c.find(name)
	if err != nil {
		return "", Store{}, err
	}
	return s.of(name, namespace)
}

// of is the part of the store that belongs to a namespace.
func (s Store) of(name, namespace string) (string, Store, error) {
	if !namespaceName.MatchString(namespace) {
		return "", Store{}, fmt.Errorf("store %s: %q is no Kubernetes namespace: %w", name, namespace, errdefs.ErrInvalidArgument)
	}
	if len(s.Namespaces) > 0 && !slices.Contains(s.Namespaces, namespace) {
		return "", Store{}, fmt.Errorf("store %s is not for namespace %s: %w", name, namespace, errdefs.ErrPermissionDenied)
	}
	if s.Shared {
		return name, s, nil
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", Store{}, fmt.Errorf("store %s: its URL is none: %w", name, errdefs.ErrInvalidArgument) // err would print it
	}
	q := u.Query()
	if prefix := q.Get("prefix"); strings.Contains(prefix, namespaceMark) {
		q.Set("prefix", strings.ReplaceAll(prefix, namespaceMark, namespace))
	} else {
		q.Set("prefix", path.Join(prefix, namespaceDir, namespace))
	}
	u.RawQuery = q.Encode()
	s.URL = u.String()
	return name + "/" + namespace, s, nil
}

// checkNamespaces refuses a mark that is not a whole element of the prefix: "a-{namespace}"
// would let the namespace "b-c" and the prefix "a-b" look alike.
func (s Store) checkNamespaces() error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return err
	}
	prefix := u.Query().Get("prefix")
	elements := strings.Split(prefix, "/")
	marked := slices.Contains(elements, namespaceMark)
	for _, e := range elements {
		if e != namespaceMark && strings.ContainsAny(e, "{}") {
			return fmt.Errorf("%q in the prefix: want %s as a whole path element", e, namespaceMark)
		}
	}
	q := u.Query()
	q.Del("prefix")
	u.RawQuery = q.Encode()
	if rest, err := url.PathUnescape(u.String()); err != nil || strings.Contains(rest, namespaceMark) {
		return fmt.Errorf("%s outside of the prefix", namespaceMark)
	}
	if s.Shared && marked {
		return fmt.Errorf("shared, and %s in the prefix: want one of them", namespaceMark)
	}
	for _, n := range s.Namespaces {
		if !namespaceName.MatchString(n) {
			return fmt.Errorf("namespaces: %q is no Kubernetes namespace", n)
		}
	}
	return nil
}

// isMarked says whether the store consists of nothing but namespaces' parts.
func (s Store) isMarked() bool {
	u, err := url.Parse(s.URL)
	return err == nil && strings.Contains(u.Query().Get("prefix"), namespaceMark)
}
