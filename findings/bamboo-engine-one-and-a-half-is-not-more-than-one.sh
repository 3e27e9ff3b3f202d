#!/usr/bin/env bash
# bamboo-engine decides that 1.5 > 1 and 0.5 > 0 are false, and that 1.9 == 1 is true.
#
# Expected: a comparison of a decimal number with a whole number compares the two numbers, as boolrule does, from which this code comes.
# Happens: if one side of a comparison is a whole number, the other side is converted to a whole number first, and its fraction is cut.
#   1.5 > 1 becomes 1 > 1. With 1.0 on the right side, the same comparison is true. A text is converted, too: "10" > 9 is true. But a
#   text with a fraction cannot be converted: "1.5" > 1 raises TypeError, and "1.5" == 1 is false.
# Where a service desk meets it: the exclusive gateways of a workflow compare amounts, hours and rates with limits that people
#   write as whole numbers. 1.5 hours over a limit of 1 hour take the branch "within the limit", and a rate of 0.5 is not above 0.
# What to do: write each limit with a fraction (1.0), and test each gateway with a value just above its limit. A desk that imports such
#   workflows compares numbers as numbers, and reports that the result differs.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check bamboo-engine==3.0.7 boolrule==0.3.5

cat > "$work/compare.py" <<'PY'
from importlib.metadata import version
import boolrule
from bamboo_engine.utils.expr import default_expr_func


def run(function):
    try:
        return str(function())
    except Exception as error:
        return type(error).__name__


print(f"bamboo-engine {version('bamboo-engine')}, boolrule {version('boolrule')}")
for text in ["1.5 > 1", "1.5 > 1.0", "0.5 > 0", "1.9 == 1", "-0.5 < 0", "99.5 > 99", "3 > 2", '"10" > 9', '"1.5" > 1', '"1.5" == 1']:
    gateway = run(lambda: default_expr_func(text, {}, {}))
    rule = run(lambda: boolrule.BoolRule(text).test({}))
    print(f"{text}: bamboo-engine {gateway}, boolrule {rule}")
PY
"$work/venv/bin/python" "$work/compare.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
bamboo-engine 3.0.7, boolrule 0.3.5
1.5 > 1: bamboo-engine False, boolrule True
1.5 > 1.0: bamboo-engine True, boolrule True
0.5 > 0: bamboo-engine False, boolrule True
1.9 == 1: bamboo-engine True, boolrule False
-0.5 < 0: bamboo-engine False, boolrule True
99.5 > 99: bamboo-engine False, boolrule True
3 > 2: bamboo-engine True, boolrule True
"10" > 9: bamboo-engine True, boolrule TypeError
"1.5" > 1: bamboo-engine TypeError, boolrule TypeError
"1.5" == 1: bamboo-engine False, boolrule False
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
