// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// The program mkimages makes images and prints where they lie: those that its
// arguments name, or without any all that every test may need.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/ateom/ateom/e2e/images"
)

func main() {
	for _, i := range wanted(os.Args[1:]) {
		path, err := i.Ensure(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(i.Ref, path)
	}
}

// wanted are the images of the given names.
func wanted(names []string) []images.Image {
	if len(names) == 0 {
		return images.All
	}
	var found []images.Image
	for _, i := range append(images.All, images.Programs) {
		if slices.Contains(names, i.Name) {
			found = append(found, i)
		}
	}
	return found
}
