# Copyright The ateom Authors.
# SPDX-License-Identifier: Apache-2.0
"""An HTTP service that says what memhog says, in Python with its usual imports."""

import hashlib
import json
import os
import secrets
import ssl  # noqa: F401  a service imports such things, and its cold start pays for them
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from urllib import request  # noqa: F401

if len(sys.argv) > 1:
    # What stands for a start that takes long: imports, parsing, an index.
    hashlib.pbkdf2_hmac("sha256", b"index", b"salt", int(sys.argv[1]))
NONCE = secrets.token_hex(16)
MEMORY = secrets.token_bytes(16 << 20)
os.makedirs("/data", exist_ok=True)
with open("/data/file", "wb") as f:
    f.write(secrets.token_bytes(64 << 10))

counter = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global counter
        if self.path == "/ready":
            answer = {}
        elif self.path == "/digest":
            answer = {"digest": hashlib.sha256(MEMORY).hexdigest()}
        else:
            counter += 1
            with open("/data/file", "rb") as f:
                file = hashlib.sha256(f.read()).hexdigest()
            answer = {"nonce": NONCE, "counter": counter, "began": BEGAN, "file": file}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def server_bind(self):
        # HTTPServer's own asks for the host's name by DNS, which a sandbox
        # without a resolver answers after ten seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "bench", 8080


server = Server(("", 8080), Handler)
BEGAN = time.time_ns()
server.serve_forever()
