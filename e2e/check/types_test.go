// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import "go/ast"

// declaredTypes are the names of the types that f declares at its top level.
func declaredTypes(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			if ts, ok := s.(*ast.TypeSpec); ok {
				names = append(names, ts.Name.Name)
			}
		}
	}
	return names
}
