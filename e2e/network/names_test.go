// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// serveNames serves DNS at the test's end of a network: every name is that
// IPv4 address. It returns the server's own address.
func serveNames(t *testing.T, network *lab.Net, answer string) string {
	t.Helper()
	out, err := net.Dial("udp", net.JoinHostPort(network.IP.String(), "1"))
	if err != nil {
		t.Fatal(err)
	}
	ip := out.LocalAddr().(*net.UDPAddr).IP
	out.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		for buf := make([]byte, 1500); ; {
			size, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return // closed
			}
			if reply, err := reply(buf[:size], net.ParseIP(answer).To4()); err == nil {
				_, _ = conn.WriteToUDP(reply, from) // who does not hear it asks again
			}
		}
	}()
	return ip.String()
}

func reply(query []byte, answer net.IP) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte(answer)},
			})
		}
	}
	return m.Pack()
}
