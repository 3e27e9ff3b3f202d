#!/usr/bin/env bash
# rrule.js ignores DTSTART;VALUE=DATE:20260105 and begins the series at the current second.
#
# Expected: RFC 5545 (3.8.2.4) writes the start of an all-day event as DTSTART;VALUE=DATE:20260105, and calendars export this form. The
#   first day of the series is 5 January 2026, as in dateutil for Python. Or the parser raises an error, as it does for a wrong UNTIL.
# Happens: the parser knows DTSTART with no parameter and with TZID only. With another parameter, also VALUE=DATE-TIME, the line is skipped
#   without an error, and the missing start becomes "now". Each call has other days. toString() has no DTSTART any more. EXDATE and RDATE
#   accept VALUE=DATE, so the exceptions are kept and match no day of the series.
# Where a service desk meets it: a weekly rotation of whole days comes from a calendar and has the persons by the number of the week. Each
#   restart begins with the first person again, a day off is not removed, and COUNT never ends the series.
# What to do: remove ";VALUE=DATE" and ";VALUE=DATE-TIME" from the line before rrulestr(), and check that origOptions.dtstart is set.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" rrule@2.8.1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check python-dateutil==2.9.0.post0

cat > "$work/series.cjs" <<'JS'
const { rrulestr } = require("rrule");

console.log(`rrule ${require("./node_modules/rrule/package.json").version}`);
const day = (date) => date.toISOString().slice(0, 10);
for (const lines of [
  ["DTSTART:20260105", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20260112"],
  ["DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20260112"],
  ["DTSTART;VALUE=DATE-TIME:20260105T000000Z", "RRULE:FREQ=WEEKLY;COUNT=3"],
]) {
  const before = Math.floor(Date.now() / 1000) * 1000;
  const series = rrulestr(lines.join("\n"));
  const dates = series.all();
  const isNow = dates[0].getTime() >= before && dates[0].getTime() <= Date.now();
  console.log(lines.join(" "));
  console.log(`  ${isNow ? `${dates.length} dates, the first is the current second` : dates.map(day).join(", ")}`);
  console.log(`  toString: ${series.toString().replaceAll("\n", " ")}`);
}
JS
cat > "$work/series.py" <<'PY'
from dateutil.rrule import rrulestr

text = "DTSTART;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY;COUNT=3"
print("dateutil, DTSTART;VALUE=DATE:20260105:", ", ".join(f"{date:%Y-%m-%d}" for date in rrulestr(text)))
PY
{ node "$work/series.cjs"; "$work/venv/bin/python" "$work/series.py"; } | tee "$work/seen"

cat > "$work/expected" <<'OUT'
rrule 2.8.1
DTSTART:20260105 RRULE:FREQ=WEEKLY;COUNT=3 EXDATE;VALUE=DATE:20260112
  2026-01-05, 2026-01-19
  toString: DTSTART:20260105T000000Z RRULE:FREQ=WEEKLY;COUNT=3 EXDATE:20260112T000000Z
DTSTART;VALUE=DATE:20260105 RRULE:FREQ=WEEKLY;COUNT=3 EXDATE;VALUE=DATE:20260112
  3 dates, the first is the current second
  toString: RRULE:FREQ=WEEKLY;COUNT=3 EXDATE:20260112T000000Z
DTSTART;VALUE=DATE-TIME:20260105T000000Z RRULE:FREQ=WEEKLY;COUNT=3
  3 dates, the first is the current second
  toString: RRULE:FREQ=WEEKLY;COUNT=3
dateutil, DTSTART;VALUE=DATE:20260105: 2026-01-05, 2026-01-12, 2026-01-19
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
