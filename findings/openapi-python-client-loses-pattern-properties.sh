#!/usr/bin/env bash
# A Python client that openapi-python-client 0.29.1 generates loses every value of an object that the OpenAPI 3.1 document describes
# with `patternProperties`, and the generator gives no warning, also with --fail-on-warning.
#
# Expected: a keyword of JSON Schema that the generator does not support gives a warning, or the object keeps its members as it does
#   with `additionalProperties`.
# Happens: the generated class has no members. from_dict accepts a response, and to_dict of the result is an empty object.
# Where a service desk meets it: maps with numbers as keys, such as the deployment time of each version of a workflow. The Rust crate
#   schemars describes a map with integer keys by `patternProperties` and forbids other members, so a document that is derived from
#   types contains it although nobody wrote it. openapi-typescript 7.13.0 reads the same document as { [key: string]: string }.
# What to do: describe such a map with `additionalProperties` and text keys (in schemars: `with = "BTreeMap<String, T>"`).
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1
npm install --no-audit --no-fund --silent openapi-typescript@7.13.0 typescript@5.9.3 >npm.log 2>&1 || { cat npm.log; exit 1; }

document() {
    cat <<J
{ "openapi": "3.1.0", "info": { "title": "Probe", "version": "1" },
  "paths": { "/workflow": { "get": { "operationId": "workflow", "responses": { "200": { "description": "done",
    "content": { "application/json": { "schema": { "\$ref": "#/components/schemas/Versions" } } } } } } } },
  "components": { "schemas": { "Versions": { "type": "object", $1 } } } }
J
}
document '"patternProperties": { "^[0-9]+$": { "type": "string" } }, "additionalProperties": false' >pattern.json
document '"additionalProperties": { "type": "string" }' >additional.json

read_and_write() {
    PATH="$work/python/bin:$PATH" python/bin/openapi-python-client generate --path "$1.json" --output-path "$1" --fail-on-warning >"$1.log" 2>&1 || return 1
    PYTHONPATH="$1" python/bin/python -c '
from probe_client.models import Versions
print(Versions.from_dict({"1": "2026-11-29T10:00:00Z"}).to_dict())'
}
lost=$(read_and_write pattern)
kept=$(read_and_write additional)
node_modules/.bin/openapi-typescript pattern.json --output pattern.d.ts >/dev/null 2>&1
echo "openapi-python-client 0.29.1, patternProperties:    $lost"
echo "openapi-python-client 0.29.1, additionalProperties: $kept"
echo "openapi-typescript 7.13.0, patternProperties:       $(grep -A1 'Versions: {' pattern.d.ts | tail -1 | xargs)"
[ "$lost" = "{}" ]
[ "$kept" = "{'1': '2026-11-29T10:00:00Z'}" ]
grep -q '\[key: string\]: string' pattern.d.ts
