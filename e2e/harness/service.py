# Copyright The ateom Authors.
# SPDX-License-Identifier: Apache-2.0
#
# A service with state of every kind: a nonce and a counter that are nowhere
# but in memory, ballast (argument 1, MiB) that does not compress, a file in
# the root file system that stays open, a file in each directory named by
# further arguments, and a log of consecutive numbers.
import hashlib
import http.server
import json
import os
import sys
import threading
import time

nonce = os.urandom(16).hex()
counter = 0
ballast = os.urandom(int(sys.argv[1]) << 20)
opened = open("/var/tmp/opened", "w+")
opened.write(nonce)
for directory in sys.argv[2:]:
    with open(os.path.join(directory, "nonce"), "w") as f:
        f.write(nonce)


def counts():
    found = []
    for directory in sys.argv[2:]:
        try:
            with open(os.path.join(directory, "count")) as f:
                found.append(int(f.read()))
        except FileNotFoundError:
            found.append(0)
    return found


counted = max(counts(), default=0)


def state():
    global counter
    counter += 1
    opened.seek(0)
    digest = hashlib.sha256(opened.read().encode())
    with open("/var/tmp/opened") as again:
        digest.update(again.read().encode())
    digest.update(ballast)
    return {"nonce": nonce, "counter": counter, "file": digest.hexdigest()}


def durable():
    global counted
    was = {"memory": counted, "dirs": counts()}
    counted += 1
    for directory in sys.argv[2:]:
        with open(os.path.join(directory, "count"), "w") as f:
            f.write(str(counted))
    return was


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(durable() if self.path == "/durable" else state()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def count():
    n = 0
    while True:
        print(n, flush=True)
        n += 1
        time.sleep(0.01)


server = http.server.ThreadingHTTPServer(("", 8080), Handler)
# A client that left must not show in the log.
server.handle_error = lambda *args: None
opened.flush()
threading.Thread(target=count, daemon=True).start()
server.serve_forever()
