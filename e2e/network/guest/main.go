// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guest is a program with connections. On port 9000 it echoes, on port
// 8080 it says what it sees of its network and opens connections; what becomes
// of each connection it notes by name.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

func main() {
	g := &guest{ends: map[string]string{}, open: map[string]net.Conn{}}
	echo, err := net.Listen("tcp", ":9000")
	if err != nil {
		fatal(err)
	}
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				fatal(err)
			}
			go g.hold("from "+conn.RemoteAddr().String(), conn)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("/ends", g.list)
	mux.HandleFunc("/dial", g.dial)
	mux.HandleFunc("/send", g.send)
	mux.HandleFunc("/lookup", lookup)
	mux.HandleFunc("/links", links)
	fmt.Println("serving")
	// One connection a request, so that none is open that nobody asked for.
	server := &http.Server{Addr: ":8080", Handler: mux}
	server.SetKeepAlivesEnabled(false)
	fatal(server.ListenAndServe())
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "guest:", err)
	os.Exit(1)
}

type guest struct {
	mu   sync.Mutex
	open map[string]net.Conn
	ends map[string]string
}

// hold echoes until the connection ends.
func (g *guest) hold(name string, conn net.Conn) {
	g.mu.Lock()
	g.open[name] = conn
	g.mu.Unlock()
	_, err := io.Copy(conn, conn)
	end := "end of file"
	if err != nil {
		end = err.Error()
	}
	g.mu.Lock()
	g.ends[name] = end
	g.mu.Unlock()
	conn.Close()
}

func (g *guest) list(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	json.NewEncoder(w).Encode(g.ends)
}

// dial opens a connection to ?to= and holds it by that name.
func (g *guest) dial(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	conn, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	go g.hold("to "+to, conn)
}

// send writes on the connection ?name=.
func (g *guest) send(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	conn := g.open[r.URL.Query().Get("name")]
	g.mu.Unlock()
	if conn == nil {
		http.NotFound(w, r)
		return
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func lookup(w http.ResponseWriter, r *http.Request) {
	addresses, err := (&net.Resolver{PreferGo: true}).LookupHost(r.Context(), r.URL.Query().Get("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	json.NewEncoder(w).Encode(addresses)
}

// links says what interfaces there are, with MTU and addresses.
func links(w http.ResponseWriter, _ *http.Request) {
	interfaces, err := net.Interfaces()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	found := map[string]string{}
	for _, i := range interfaces {
		addresses, _ := i.Addrs()
		found[i.Name] = fmt.Sprint(i.MTU, addresses)
	}
	json.NewEncoder(w).Encode(found)
}
