// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guest is what the tests of package seat run in a sandbox. It fills
// memory with bytes that exist nowhere else and, asked through files in /io,
// says what it still remembers.
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"time"
)

// answer is what the tests read; it must match the type there.
type answer struct {
	Nonce   string `json:"nonce"`
	Counter int    `json:"counter"`
	Memory  string `json:"memory"`
}

func main() {
	random := flag.Int("random", 8, "MiB of random memory")
	zeroed := flag.Int("zeroed", 8, "MiB of memory that was used and cleared")
	flag.Parse()
	if err := run(*random<<20, *zeroed<<20); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(random, zeroed int) error {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return err
	}
	memory := make([]byte, random+zeroed)
	if _, err := mrand.NewChaCha8(seed).Read(memory); err != nil {
		return err
	}
	// Every second megabyte of the back is cleared again.
	for at := random; at < len(memory); at += 2 << 20 {
		clear(memory[at:min(at+1<<20, len(memory))])
	}
	nonce := hex.EncodeToString(seed[:])
	for counter := 0; ; counter++ {
		ask := fmt.Sprintf("/io/ask-%d", counter)
		for {
			if _, err := os.Stat(ask); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		what, err := os.ReadFile(ask)
		if err != nil {
			return err
		}
		a := answer{Nonce: nonce, Counter: counter}
		if string(what) == "touch" {
			memory[(counter*4096)%len(memory)]++
		}
		if string(what) == "scatter" {
			a.Memory = fmt.Sprint(scatter(memory))
		} else if string(what) != "ping" {
			sum := sha256.Sum256(memory)
			a.Memory = hex.EncodeToString(sum[:])
		}
		body, err := json.Marshal(a)
		if err != nil {
			return err
		}
		out := fmt.Sprintf("/io/answer-%d", counter)
		if err := os.WriteFile(out+".tmp", body, 0o600); err != nil {
			return err
		}
		if err := os.Rename(out+".tmp", out); err != nil {
			return err
		}
	}
}

// scatter reads a page here and there, each far from the one before: as a
// program does that starts, it needs little of its memory, and soon.
func scatter(memory []byte) (sum int) {
	const unit = 32 << 20
	units := len(memory) / unit
	for i := 0; i < units; i += 2 {
		sum += int(memory[(i*5%units)*unit+unit/2])
	}
	return sum
}
