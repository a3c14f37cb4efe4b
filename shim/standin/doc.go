// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package standin answers in the network namespace of a sandbox that sleeps.
//
// Kubelet goes on probing a paused pod, and would kill it for not answering.
// Nobody but kubelet knows which ports it probes: so one socket takes the TCP
// connections to all of them. Kubelet's probes, by their
// User-Agent, are told that all is well; whoever else asks over HTTP, that the
// sandbox is paused (503); any other connection is accepted and closed. Nothing
// is passed on to anybody.
//
// It must never answer for a sandbox that runs: whoever resumes one closes its
// stand-in first.
package standin
