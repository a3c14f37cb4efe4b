// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"testing"
	"time"
)

func TestAChainIsHeardAtItsEnd(t *testing.T) {
	c, err := StartChain(3)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := time.Now()
		heard, err := c.Ask()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); heard <= 0 || heard > took {
			t.Errorf("the last process has heard after %v of a question that took %v", heard, took)
		}
	}
	if len(c.hops) != 3 {
		t.Errorf("%d processes, want 3", len(c.hops))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, hop := range c.hops {
		if !hop.ProcessState.Success() {
			t.Errorf("a hop ended: %v", hop.ProcessState)
		}
	}
}

func TestAChainTellsWhenAHopIsGone(t *testing.T) {
	c, err := StartChain(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.hops[1].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ask(); err == nil {
		t.Error("a chain answers whose end was killed")
	}
	if err := c.Close(); err == nil {
		t.Error("nothing said of a hop that was killed")
	}
}
