#!/usr/bin/env bash
# jmespath (npm) selects tickets WITHOUT a priority with tickets[?priority < `3`].
#
# Expected: the specification of JMESPath: the ordering operators are valid for numbers only, and with any other type the result is null,
#   which selects nothing. The PyPI package and @jmespath-community/jmespath do so for null and for a missing member.
# Happens: the package compares with the operators of JavaScript. There null is 0, so a ticket whose priority is null or missing is less
#   than 3 and also >= 0. A text is converted: "2" < `3` is true, and for "high" each comparison is false. sort_by() and max_by() of
#   the same package do check the types and raise an error.
# Where a service desk meets it: the same expression filters alarms in a Python program and in a browser or a Node.js service. The first
#   counts one urgent ticket and the second three, because new tickets have no priority yet. They are escalated at once.
# What to do: add a test of the type: [?type(priority) == 'number' && priority < `3`], or use @jmespath-community/jmespath.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" jmespath@0.16.0 @jmespath-community/jmespath@1.3.0
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jmespath==1.1.0

cat > "$work/tickets.json" <<'JSON'
{"tickets": [{"number": "A", "priority": 1}, {"number": "B", "priority": 4}, {"number": "C", "priority": null}, {"number": "D"}]}
JSON
cat > "$work/search.cjs" <<'JS'
const data = require("./tickets.json");

for (const name of ["jmespath", "@jmespath-community/jmespath"]) {
  const { search } = require(name);
  console.log(`${name} ${require(`./node_modules/${name}/package.json`).version} (npm)`);
  for (const expression of process.argv.slice(2)) console.log(`  ${expression}: ${JSON.stringify(search(data, expression))}`);
}
JS
cat > "$work/search.py" <<'PY'
import json
import sys
import jmespath

with open(sys.argv[1]) as file:
    data = json.load(file)
print(f"jmespath {jmespath.__version__} (PyPI)")
for expression in sys.argv[2:]:
    print(f"  {expression}: {json.dumps(jmespath.search(expression, data), separators=(',', ':'))}")
PY
expressions=('tickets[?priority < `3`].number' 'tickets[?priority >= `0`].number' 'length(tickets[?priority <= `2`])'
    "tickets[?type(priority) == 'number' && priority < \`3\`].number")
{
    node "$work/search.cjs" "${expressions[@]}"
    "$work/venv/bin/python" "$work/search.py" "$work/tickets.json" "${expressions[@]}"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
jmespath 0.16.0 (npm)
  tickets[?priority < `3`].number: ["A","C","D"]
  tickets[?priority >= `0`].number: ["A","B","C","D"]
  length(tickets[?priority <= `2`]): 3
  tickets[?type(priority) == 'number' && priority < `3`].number: ["A"]
@jmespath-community/jmespath 1.3.0 (npm)
  tickets[?priority < `3`].number: ["A"]
  tickets[?priority >= `0`].number: ["A","B"]
  length(tickets[?priority <= `2`]): 1
  tickets[?type(priority) == 'number' && priority < `3`].number: ["A"]
jmespath 1.1.0 (PyPI)
  tickets[?priority < `3`].number: ["A"]
  tickets[?priority >= `0`].number: ["A","B"]
  length(tickets[?priority <= `2`]): 1
  tickets[?type(priority) == 'number' && priority < `3`].number: ["A"]
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
