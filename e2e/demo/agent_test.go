// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

var before = memory{Nonce: "n", Count: 3, Memory: "m", Rootfs: "r", Durable: "d"}

// with returns before, changed.
func with(change func(*memory)) memory {
	m := before
	change(&m)
	return m
}

func TestSameLifeSeesEveryLoss(t *testing.T) {
	if err := sameLife(before, with(func(m *memory) { m.Count = 4 })); err != nil {
		t.Errorf("the same life is not recognised: %v", err)
	}
	for what, now := range map[string]memory{
		"nonce":        with(func(m *memory) { m.Count, m.Nonce = 4, "x" }),
		"old counter":  before,
		"lost counter": with(func(m *memory) { m.Count = 1 }),
		"memory":       with(func(m *memory) { m.Count, m.Memory = 4, "x" }),
		"rootfs":       with(func(m *memory) { m.Count, m.Rootfs = 4, "x" }),
		"DurableDir":   with(func(m *memory) { m.Count, m.Durable = 4, "x" }),
	} {
		if sameLife(before, now) == nil {
			t.Errorf("another %s passes for the same life", what)
		}
	}
}

func TestNewLifeKeepsTheDurableDirAlone(t *testing.T) {
	cold := memory{Nonce: "n2", Count: 1, Memory: "m2", Rootfs: "r2", Durable: "d"}
	if err := newLife(before, cold); err != nil {
		t.Errorf("a cold start is not recognised: %v", err)
	}
	for what, change := range map[string]func(*memory){
		"nonce":      func(m *memory) { m.Nonce = "n" },
		"memory":     func(m *memory) { m.Memory = "m" },
		"counter":    func(m *memory) { m.Count = 4 },
		"rootfs":     func(m *memory) { m.Rootfs = "r" },
		"DurableDir": func(m *memory) { m.Durable = "x" },
	} {
		now := cold
		change(&now)
		if newLife(before, now) == nil {
			t.Errorf("a cold start with a wrong %s passes", what)
		}
	}
}
