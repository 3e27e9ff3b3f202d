#!/usr/bin/env bash
# cel-python writes the Boolean true as "True", and string() of a time or a duration loses the fraction of a second.
#
# Expected: in the definition of CEL, string() converts a bool to "true" or "false", a timestamp to RFC 3339, and a duration to seconds
#   with the fraction and the suffix s. timestamp(string(t)) and duration(string(d)) are the same values again.
# Happens: string(true) is Python's "True", so string(vip) == "true" is false for a vip, and no error shows it. string() of a timestamp or
#   a duration is cut to whole seconds: 100 ms becomes "0s". @marcbachmann/cel-js writes "true", but does not have string() for times.
# Where a service desk meets it: routing rules and keys for de-duplication are CEL expressions, for example string(ticket.vip) + ":" +
#   ticket.service. A rule that was written for another implementation never fires, and two events within one second get one key.
# What to do: compare Booleans as Booleans, write (vip ? "true" : "false"), and build keys from the texts of the input.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cel-python==0.5.0
npm install --silent --no-audit --no-fund --prefix "$work" @marcbachmann/cel-js@8.0.0

cat > "$work/expressions.json" <<'JSON'
[
  "string(vip)",
  "string(vip) == \"true\"",
  "(vip ? \"true\" : \"false\") == \"true\"",
  "string(timestamp(\"2026-11-30T20:00:00.123Z\"))",
  "timestamp(string(timestamp(\"2026-11-30T20:00:00.123Z\"))) == timestamp(\"2026-11-30T20:00:00.123Z\")",
  "string(duration(\"1500ms\"))",
  "string(duration(\"100ms\"))"
]
JSON
cat > "$work/evaluate.py" <<'PY'
import json
import sys
from importlib.metadata import version
import celpy

print(f"cel-python {version('cel-python')}")
environment = celpy.Environment()
for text in json.load(open(sys.argv[1])):
    value = environment.program(environment.compile(text)).evaluate({"vip": celpy.json_to_cel(True)})
    print(f"  {text}: {bool(value) if isinstance(value, celpy.celtypes.BoolType) else json.dumps(str(value))}")
PY
cat > "$work/evaluate.cjs" <<'JS'
const { readFileSync } = require("node:fs");

(async () => {
  const { evaluate } = await import("@marcbachmann/cel-js");
  const { version } = JSON.parse(readFileSync(`${__dirname}/node_modules/@marcbachmann/cel-js/package.json`));
  console.log(`@marcbachmann/cel-js ${version}`);
  for (const text of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
    try {
      console.log(`  ${text}: ${JSON.stringify(evaluate(text, { vip: true }))}`);
    } catch (error) {
      console.log(`  ${text}: ${error.message.split("\n")[0]}`);
    }
  }
})();
JS
{
    "$work/venv/bin/python" "$work/evaluate.py" "$work/expressions.json"
    node "$work/evaluate.cjs" "$work/expressions.json"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
cel-python 0.5.0
  string(vip): "True"
  string(vip) == "true": False
  (vip ? "true" : "false") == "true": True
  string(timestamp("2026-11-30T20:00:00.123Z")): "2026-11-30T20:00:00Z"
  timestamp(string(timestamp("2026-11-30T20:00:00.123Z"))) == timestamp("2026-11-30T20:00:00.123Z"): False
  string(duration("1500ms")): "1s"
  string(duration("100ms")): "0s"
@marcbachmann/cel-js 8.0.0
  string(vip): "true"
  string(vip) == "true": true
  (vip ? "true" : "false") == "true": true
  string(timestamp("2026-11-30T20:00:00.123Z")): found no matching overload for 'string(google.protobuf.Timestamp)'
  timestamp(string(timestamp("2026-11-30T20:00:00.123Z"))) == timestamp("2026-11-30T20:00:00.123Z"): found no matching overload for 'string(google.protobuf.Timestamp)'
  string(duration("1500ms")): found no matching overload for 'string(google.protobuf.Duration)'
  string(duration("100ms")): found no matching overload for 'string(google.protobuf.Duration)'
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
