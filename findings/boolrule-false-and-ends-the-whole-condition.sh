#!/usr/bin/env bash
# boolrule and bamboo-engine: "vip = false and urgent = true or blocked = true" is false for a blocked ticket.
#
# Expected: `and` binds more strongly than `or`, as in Python, SQL and FEEL, so a condition "A and B or C" is true if C is true. Reading from
#   left to right without any priority gives the same result: "(A and B) or C".
# Happens: the first `and` after a false part ends the evaluation with false. The parts after it are not evaluated, not even after a
#   later `or`. If A is true and B is false, the same condition is evaluated up to C. So the value of the condition depends on which
#   of two factors of a conjunction is false. With parentheses around "A and B" the result is right.
# Where a service desk meets it: escalations and the gateways of workflows have such conditions. A test with a ticket where the second factor
#   is false passes, and a ticket where the first one is false takes another branch.
# What to do: write parentheses around each `and` next to an `or`. A desk that reads such conditions asks for them, or
#   stores groups with one operator each instead of a text.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check boolrule==0.3.5 bamboo-engine==3.0.7

cat > "$work/conditions.py" <<'PY'
import itertools
from importlib.metadata import version
import boolrule
from bamboo_engine.utils.boolrule import BoolRule

print(f"boolrule {version('boolrule')}, bamboo-engine {version('bamboo-engine')}")
for text in ["a == 1 and b == 1 or c == 1", "(a == 1 and b == 1) or c == 1", "a == 1 or b == 1 and c == 1", "c == 1 or a == 1 and b == 1"]:
    print(text)
    for values in itertools.product([0, 1], repeat=3):
        names = dict(zip("abc", values))
        expected = bool(eval(text, {}, names))
        seen = boolrule.BoolRule(text).test(names), BoolRule(text).test(names)
        if seen != (expected, expected):
            print(f"  {names}: Python {expected}, boolrule {seen[0]}, bamboo-engine {seen[1]}")
PY
"$work/venv/bin/python" "$work/conditions.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
boolrule 0.3.5, bamboo-engine 3.0.7
a == 1 and b == 1 or c == 1
  {'a': 0, 'b': 0, 'c': 1}: Python True, boolrule False, bamboo-engine False
  {'a': 0, 'b': 1, 'c': 1}: Python True, boolrule False, bamboo-engine False
(a == 1 and b == 1) or c == 1
a == 1 or b == 1 and c == 1
c == 1 or a == 1 and b == 1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
