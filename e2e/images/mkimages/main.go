// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// The program mkimages makes all images and prints where they lie.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ateom/ateom/e2e/images"
)

func main() {
	for _, i := range images.All {
		path, err := i.Ensure(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(i.Ref, path)
	}
}
