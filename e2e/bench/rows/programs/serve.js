// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// An HTTP service that says what memhog says, in Node.
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");

const nonce = crypto.randomBytes(16).toString("hex");
const memory = crypto.randomBytes(16 << 20);
fs.mkdirSync("/data", { recursive: true });
fs.writeFileSync("/data/file", crypto.randomBytes(64 << 10));
let counter = 0;
let began = 0;

const digest = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

http.createServer((request, response) => {
  let answer = {};
  if (request.url === "/digest") {
    answer = { digest: digest(memory) };
  } else if (request.url !== "/ready") {
    counter++;
    answer = { nonce, counter, began, file: digest(fs.readFileSync("/data/file")) };
  }
  response.end(JSON.stringify(answer));
}).listen(8080, () => { began = Date.now() * 1_000_000; });
