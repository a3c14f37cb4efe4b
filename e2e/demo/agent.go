// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// agentSource is the program that runs in the sandbox.
//
//go:embed agent.py
var agentSource string

// agentPort is where the agent listens.
const agentPort = 8080

// A memory is what the agent knows. Count grows by one with every question.
type memory struct {
	Nonce   string `json:"nonce"`
	Count   int    `json:"count"`
	Memory  string `json:"memory"`
	Rootfs  string `json:"rootfs"`
	Durable string `json:"durable"`
}

// ask asks the agent at address for what it knows.
func ask(ctx context.Context, address string) (m memory, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://%s:%d/state", address, agentPort)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return m, err
	}
	// A kept connection would not outlive the sandbox.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return m, fmt.Errorf("ask the agent: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return m, fmt.Errorf("ask the agent: it answers %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		return m, fmt.Errorf("ask the agent: %w", err)
	}
	return m, nil
}

// awaitAgent asks until the agent answers; a cold start waits for no probe.
func awaitAgent(ctx context.Context, address string) (memory, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := ask(ctx, address)
		if err == nil {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return m, err
		case <-tick.C:
		}
	}
}

// sameLife checks that now is the same process as before, asked once more.
func sameLife(before, now memory) error {
	before.Count++
	if now != before {
		return fmt.Errorf("the agent has changed: want %+v, got %+v", before, now)
	}
	return nil
}

// newLife checks that now is another process that has the DurableDir of before.
func newLife(before, now memory) error {
	switch {
	case now.Nonce == before.Nonce || now.Memory == before.Memory:
		return fmt.Errorf("the agent should have started cold, but has its memory of before")
	case now.Count != 1:
		return fmt.Errorf("the agent should have started cold, but counts %d", now.Count)
	case now.Rootfs == before.Rootfs:
		return fmt.Errorf("the agent should have started cold, but has its rootfs writes of before")
	case now.Durable != before.Durable:
		return fmt.Errorf("the DurableDir has changed: want digest %s, got %s", before.Durable, now.Durable)
	}
	return nil
}
