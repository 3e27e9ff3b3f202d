#!/usr/bin/env bash
# openapi-python-client 0.29.1 drops a variant of `oneOf` if the variant contains a list of objects and is written inside of a schema
# below components/schemas. The message blames a duplicate name, although the document has no duplicate.
#
# Expected: a variant that is written inside of `oneOf` is generated like every other object, with a class for the items of its list.
# Happens: "Attempted to generate duplicate models with name ...". The class of the variant is missing, and with it every use of the
#   schema. A variant whose members are texts or numbers is generated. The same variant with a name of its own (a reference) is
#   generated too, also with a title.
# Where a service desk meets it: the steps of a workflow are such variants: a request with a list of headers, a task with a list of
#   constants. A client generated from the document cannot draw a workflow that calls another system.
# What to do: give each variant a name below components/schemas, and let `oneOf` refer to it.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1

call='{ "type": "object", "required": ["headers"], "properties": { "headers": { "type": "array", "items": { "type": "object", "properties": { "key": { "type": "string" } } } } } }'
wait='{ "type": "object", "required": ["seconds"], "properties": { "seconds": { "type": "integer" } } }'
document() {
    cat <<J
{ "openapi": "3.1.0", "info": { "title": "Probe", "version": "1" },
  "paths": { "/step": { "get": { "operationId": "step", "responses": { "200": { "description": "done",
    "content": { "application/json": { "schema": { "\$ref": "#/components/schemas/Step" } } } } } } } },
  "components": { "schemas": { $1 } } }
J
}
document "\"Step\": { \"oneOf\": [$call, $wait] }" >inside.json
document "\"Call\": $call, \"Wait\": $wait, \"Step\": { \"oneOf\": [{ \"\$ref\": \"#/components/schemas/Call\" }, { \"\$ref\": \"#/components/schemas/Wait\" }] }" >named.json

for name in inside named; do
    PATH="$work/python/bin:$PATH" python/bin/openapi-python-client generate --path "$name.json" --output-path "$name" >"$name.log" 2>&1 || true
    echo "$name: $(ls "$name/probe_client/models" 2>/dev/null | grep -v '^__' | tr '\n' ' ') | $(grep -o 'Attempted to generate duplicate.*' "$name.log" || echo 'no message')"
done
grep -q 'Attempted to generate duplicate models with name "StepType0HeadersItem"' inside.log
[ ! -e inside/probe_client/models/step_type_0.py ]
[ -e inside/probe_client/models/step_type_1.py ]
[ -e named/probe_client/models/call.py ]
[ -e named/probe_client/models/wait.py ]
! grep -q 'duplicate' named.log
