#!/usr/bin/env bash
# cloudevents (npm) neither encodes nor decodes attributes in HTTP headers: 工单 cannot be sent, and "printer broken" arrives as "printer%20broken".
#
# Expected: the HTTP binding of CloudEvents 1.0 (3.1.3.2) requires percent-encoding in the headers of the binary mode: each character
#   outside of printable ASCII, and also the space, the quote and the percent sign. A receiver decodes once. So each attribute arrives as it was.
# Happens: the SDK for Node.js copies the text into the header, and it copies the header into the attribute. A Chinese subject raises
#   ERR_INVALID_CHAR, and "Büro" arrives as "BÃ¼ro". The core API of the PyPI package encodes and decodes. Between the two packages, a text
#   with a space arrives with %20 in one direction, and a text with a percent code loses it in the other. These cases give no error.
# Where a service desk meets it: the subject of an event is the title or the location of a ticket, or extensions name a team. English titles
#   without spaces work in every test.
# What to do: HTTP.structured(event) with the npm package. A receiver in Node.js decodes each attribute of the binary mode itself.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
npm install --silent --no-audit --no-fund --prefix "$work" cloudevents@10.0.0

cat > "$work/subjects.json" <<'JSON'
["INC-1", "printer broken", "50%25 done", "Büro", "工单"]
JSON
cat > "$work/write.py" <<'PY'
import json
import sys
from cloudevents.core.bindings.http import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

headers = []
for subject in json.load(open(sys.argv[1])):
    event = CloudEvent({"id": "1", "source": "/desk", "type": "opened", "specversion": "1.0", "subject": subject}, {})
    headers.append(to_binary(event, JSONFormat()).headers)
json.dump(headers, open(sys.argv[2], "w"))
PY
cat > "$work/exchange.cjs" <<'JS'
const { readFileSync, writeFileSync } = require("node:fs");
const http = require("node:http");
const { CloudEvent, HTTP } = require("cloudevents");

const { version } = require("./node_modules/cloudevents/package.json");
const read = (name) => JSON.parse(readFileSync(`${__dirname}/${name}`, "utf8"));
const subjects = read("subjects.json");
const received = [];
const server = http.createServer((request, response) => {
  received.push(request.headers);
  response.end();
});
const send = (headers, port) =>
  new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, method: "POST", headers }, (response) => response.resume().on("end", resolve));
    request.on("error", reject);
    request.end("{}");
  });
server.listen(0, "127.0.0.1", async () => {
  console.log(`cloudevents (npm) ${version}`);
  for (const subject of subjects) {
    const event = new CloudEvent({ id: "1", source: "/desk", type: "opened", subject, data: {} });
    try {
      await send(HTTP.binary(event).headers, server.address().port);
      const back = HTTP.toEvent({ headers: received.at(-1), body: "{}" }).subject;
      console.log(`  npm to npm: ${JSON.stringify(subject)} arrives as ${JSON.stringify(back)}`);
    } catch (error) {
      console.log(`  npm to npm: ${JSON.stringify(subject)} raises ${error.code}`);
    }
  }
  server.close();
  writeFileSync(`${__dirname}/from-npm.json`, JSON.stringify(received));
  read("from-pypi.json").forEach((headers, index) => {
    const back = HTTP.toEvent({ headers: { ...headers, "content-type": "application/json" }, body: "{}" }).subject;
    console.log(`  PyPI to npm: ${JSON.stringify(subjects[index])} arrives as ${JSON.stringify(back)}`);
  });
});
JS
cat > "$work/read.py" <<'PY'
import json
import sys
from importlib.metadata import version
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

print(f"cloudevents (PyPI) {version('cloudevents')}")
for name, label in [("from-npm", "npm"), ("from-pypi", "PyPI")]:
    for headers in json.load(open(f"{sys.argv[1]}/{name}.json")):
        subject = from_binary(HTTPMessage(headers, b"{}"), JSONFormat(), CloudEvent).get_subject()
        print(f"  {label} to PyPI: {json.dumps(headers['ce-subject'], ensure_ascii=False)} is read as {json.dumps(subject, ensure_ascii=False)}")
PY
{
    "$work/venv/bin/python" "$work/write.py" "$work/subjects.json" "$work/from-pypi.json"
    node "$work/exchange.cjs"
    PYTHONIOENCODING=utf-8 "$work/venv/bin/python" "$work/read.py" "$work"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
cloudevents (npm) 10.0.0
  npm to npm: "INC-1" arrives as "INC-1"
  npm to npm: "printer broken" arrives as "printer broken"
  npm to npm: "50%25 done" arrives as "50%25 done"
  npm to npm: "Büro" arrives as "BÃ¼ro"
  npm to npm: "工单" raises ERR_INVALID_CHAR
  PyPI to npm: "INC-1" arrives as "INC-1"
  PyPI to npm: "printer broken" arrives as "printer%20broken"
  PyPI to npm: "50%25 done" arrives as "50%2525%20done"
  PyPI to npm: "Büro" arrives as "B%C3%BCro"
  PyPI to npm: "工单" arrives as "%E5%B7%A5%E5%8D%95"
cloudevents (PyPI) 2.2.0
  npm to PyPI: "INC-1" is read as "INC-1"
  npm to PyPI: "printer broken" is read as "printer broken"
  npm to PyPI: "50%25 done" is read as "50% done"
  npm to PyPI: "BÃ¼ro" is read as "BÃ¼ro"
  PyPI to PyPI: "INC-1" is read as "INC-1"
  PyPI to PyPI: "printer%20broken" is read as "printer broken"
  PyPI to PyPI: "50%2525%20done" is read as "50%25 done"
  PyPI to PyPI: "B%C3%BCro" is read as "Büro"
  PyPI to PyPI: "%E5%B7%A5%E5%8D%95" is read as "工单"
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
