#!/usr/bin/env bash
# bkflow-feel reads 08:00:00@Asia/Shanghai with the offset +08:06, so two names of the same instant are not equal.
#
# Expected: FEEL has two forms of a time with a zone, an offset and a name. In November 2026, 08:00 with @Asia/Shanghai is 08:00 with
#   +08:00, and 08:00 with @America/New_York is 08:00 with -05:00.
# Happens: the name gives the oldest entry of the zone in the database, the local mean time of the 19th century, rounded to a minute:
#   +08:06 for Shanghai, -04:56 for New York, +00:53 for Berlin. Daylight saving time never applies. A named time is wrong by 6 minutes in
#   Shanghai, and in Berlin by 7 minutes in winter and by 67 in summer. There is no error, and offsets are read correctly.
# Where a service desk meets it: a workflow compares the time of a request with the end of a maintenance window or the opening hours. In
#   Shanghai, a request in the six minutes around the limit takes the wrong branch. A test with a distance of an hour passes.
# What to do: write offsets in expressions, and convert named zones before the call.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check bkflow-feel==1.2.0 pytz==2023.4 tzdata==2026.6

cat > "$work/zones.py" <<'PY'
import datetime
from importlib.metadata import version
from zoneinfo import ZoneInfo
from bkflow_feel.api import parse_expression

print(f"bkflow-feel {version('bkflow-feel')}")
for name in ["Asia/Shanghai", "America/New_York", "Europe/Berlin"]:
    for month in [7, 11]:
        read = parse_expression(f'date and time("2026-{month:02}-30T08:00:00@{name}")')
        right = datetime.datetime(2026, month, 30, 8, tzinfo=ZoneInfo(name))
        print(f"{name}, 30 {right:%B}: {read.isoformat()}, the zone has {right.isoformat()}")
for text in [
    'date and time("2026-11-30T08:00:00@Asia/Shanghai") = date and time("2026-11-30T08:00:00+08:00")',
    'date and time("2026-11-30T08:03:00@Asia/Shanghai") > date and time("2026-11-30T08:00:00+08:00")',
    'date and time("2026-11-30T08:03:00+08:00") > date and time("2026-11-30T08:00:00+08:00")',
]:
    print(f"{text}: {parse_expression(text)}")
PY
"$work/venv/bin/python" "$work/zones.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
bkflow-feel 1.2.0
Asia/Shanghai, 30 July: 2026-07-30T08:00:00+08:06, the zone has 2026-07-30T08:00:00+08:00
Asia/Shanghai, 30 November: 2026-11-30T08:00:00+08:06, the zone has 2026-11-30T08:00:00+08:00
America/New_York, 30 July: 2026-07-30T08:00:00-04:56, the zone has 2026-07-30T08:00:00-04:00
America/New_York, 30 November: 2026-11-30T08:00:00-04:56, the zone has 2026-11-30T08:00:00-05:00
Europe/Berlin, 30 July: 2026-07-30T08:00:00+00:53, the zone has 2026-07-30T08:00:00+02:00
Europe/Berlin, 30 November: 2026-11-30T08:00:00+00:53, the zone has 2026-11-30T08:00:00+01:00
date and time("2026-11-30T08:00:00@Asia/Shanghai") = date and time("2026-11-30T08:00:00+08:00"): False
date and time("2026-11-30T08:03:00@Asia/Shanghai") > date and time("2026-11-30T08:00:00+08:00"): False
date and time("2026-11-30T08:03:00+08:00") > date and time("2026-11-30T08:00:00+08:00"): True
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
