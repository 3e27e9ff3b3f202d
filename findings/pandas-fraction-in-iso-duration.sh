#!/usr/bin/env bash
# pandas reads the ISO 8601 duration PT1.5H as 5 hours and 1 second.
#
# Expected: one and a half hours, or an error. ISO 8601 allows a fraction in the last unit, and isodate returns 1:30:00.
# Happens: pandas.Timedelta and pandas.to_timedelta accept a fraction only with S. Before H, M, D or W the digits before the point
#   become whole SECONDS and the digits after it become the amount of the unit: PT1.5H is 1 s + 5 h, PT2.25H is 2 s + 25 h.
#   P1M (one month) is read as one MINUTE. No error and no warning.
# Where a service desk meets it: service level targets and time to resolve are exchanged as ISO 8601 durations, and reports are made with
#   pandas. A target of 1.5 hours silently becomes 5 hours.
# What to do: write durations with whole units (PT1H30M, PT90M, PT5400S) and never with months. Readers: use isodate, or check that no
#   unit except S has a fraction.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 isodate==0.7.2

cat > "$work/read.py" <<'PY'
import isodate
import pandas

print(f"pandas {pandas.__version__}, isodate {isodate.__version__}")
for text in ["PT90M", "PT1H30M", "PT1.5S", "PT1.5H", "PT2.25H", "PT0.5M", "P0.5D", "P1.5W", "P1M"]:
    try:
        reference = isodate.parse_duration(text)
    except isodate.ISO8601Error as error:
        reference = f"error: {error}"
    print(f"{text:8} pandas {pandas.Timedelta(text)}   isodate {reference}")
PY
"$work/venv/bin/python" "$work/read.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pandas 3.1.1, isodate 0.7.2
PT90M    pandas 0 days 01:30:00   isodate 1:30:00
PT1H30M  pandas 0 days 01:30:00   isodate 1:30:00
PT1.5S   pandas 0 days 00:00:01.500000   isodate 0:00:01.500000
PT1.5H   pandas 0 days 05:00:01   isodate 1:30:00
PT2.25H  pandas 1 days 01:00:02   isodate 2:15:00
PT0.5M   pandas 0 days 00:05:00   isodate 0:00:30
P0.5D    pandas 5 days 00:00:00   isodate 12:00:00
P1.5W    pandas 35 days 00:00:01   isodate 10 days, 12:00:00
P1M      pandas 0 days 00:01:00   isodate 1 month, 0:00:00
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
