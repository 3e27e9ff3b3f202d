#!/usr/bin/env bash
# openapi-fetch returns no `error` for a 4xx or 5xx response that has an empty body.
#
# Expected: `const { data, error } = await client.GET(...)` sets `error` for every response outside 2xx; the guide of the library checks
#   `if (error)` and then uses `data`.
# Happens: with Content-Length: 0 both `data` and `error` are undefined, whatever the status; with an empty chunked body `error` is "".
#   Both are false in `if (error)`, so a write that failed looks as if it had succeeded. The same status with a body sets `error`.
# Where a service desk meets it: RFC 9110 requires no body for an error. Proxies, load balancers and size limits in front of a desk often
#   answer 413, 429, 502 and 503 with an empty body.
# What to do: clients check `response.ok`, never `error` alone. Servers send a problem document (RFC 9457) with every error, also
#   for 404 of an unknown path, 405, 413, 415, 429 and 503.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" openapi-fetch@0.17.0

cat > "$work/client.mjs" <<'JS'
import { readFileSync } from "node:fs";
import http from "node:http";
import createClient from "openapi-fetch";

const server = http.createServer((request, response) => {
  const [, status, body] = request.url.split("/");
  request.resume().on("end", () => {
    if (body === "problem") {
      response.writeHead(Number(status), { "content-type": "application/problem+json" });
      response.end(JSON.stringify({ title: "the ticket is suspended", status: Number(status) }));
    } else {
      response.writeHead(Number(status), body === "chunked" ? { "transfer-encoding": "chunked" } : { "content-length": "0" });
      response.end();
    }
  });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const client = createClient({ baseUrl: `http://127.0.0.1:${server.address().port}` });
const manifest = new URL("node_modules/openapi-fetch/package.json", import.meta.url);
console.log(`openapi-fetch ${JSON.parse(readFileSync(manifest)).version}`);
for (const path of ["/409/problem", "/409/empty", "/413/empty", "/503/empty", "/503/chunked"]) {
  const { data, error, response } = await client.POST(path, { body: { text: "please hurry" } });
  const verdict = error ? "failed" : "succeeded";
  console.log(`POST ${path}: status ${response.status}, ok ${response.ok}, data ${data}, error ${JSON.stringify(error)}: "if (error)" means ${verdict}`);
}
server.close();
JS
node "$work/client.mjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
openapi-fetch 0.17.0
POST /409/problem: status 409, ok false, data undefined, error {"title":"the ticket is suspended","status":409}: "if (error)" means failed
POST /409/empty: status 409, ok false, data undefined, error undefined: "if (error)" means succeeded
POST /413/empty: status 413, ok false, data undefined, error undefined: "if (error)" means succeeded
POST /503/empty: status 503, ok false, data undefined, error undefined: "if (error)" means succeeded
POST /503/chunked: status 503, ok false, data undefined, error "": "if (error)" means succeeded
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
