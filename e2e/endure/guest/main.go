// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guest is a program in Go that holds a number nobody else knows, and
// tells it on port 8080.
package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
)

func main() {
	nonce := rand.Text()
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, nonce) })
	fmt.Fprintln(os.Stderr, "guest:", http.ListenAndServe(":8080", nil))
	os.Exit(1)
}
