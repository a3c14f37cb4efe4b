# Copyright The ateom Authors.
# SPDX-License-Identifier: Apache-2.0
"""A program with something to lose: in memory, in its rootfs, in a DurableDir."""

import hashlib
import http.server
import json
import os

NONCE = os.urandom(16).hex()
MEMORY = os.urandom(64 << 20)
ROOTFS = "/var/tmp/notes"
DURABLE = "/home/agent/journal"

count = 0


def keep(path):
    """Makes a file of random bytes unless it is there from an earlier life."""
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(os.urandom(1 << 20))


def digest_of_file(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        body = b"ready\n"
        if self.path == "/state":
            count += 1
            body = json.dumps({
                "nonce": NONCE,
                "count": count,
                "memory": hashlib.sha256(MEMORY).hexdigest(),
                "rootfs": digest_of_file(ROOTFS),
                "durable": digest_of_file(DURABLE),
            }).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


keep(ROOTFS)
keep(DURABLE)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
