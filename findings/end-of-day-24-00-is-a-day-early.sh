#!/usr/bin/env bash
# date-fns-tz and aniso8601 read 24:00 as the BEGINNING of the same day, one day too early.
#
# Expected: 2026-11-22T24:00:00+08:00 is the same instant as 2026-11-23T00:00:00+08:00 (ISO 8601:2004, and again since the amendment of
#   2022), or an error. JavaScript's Date, luxon, moment, date-fns, ciso8601 and dateutil's isoparse return it.
# Happens: date-fns-tz 3.2.0 (toDate, formatInTimeZone, fromZonedTime) and aniso8601 10.0.1 accept the text and return
#   2026-11-22T00:00:00+08:00. No error. date-fns itself is right, so the result depends on which of the two packages reads the text.
# Where a service desk meets it: duty rosters, maintenance windows and calendars end at 24:00. A window from 22:00 to 24:00 ends
#   22 hours before it begins, and a deadline at the end of the day is overdue when it is made.
# What to do: write 00:00:00 of the next day and never 24:00 (RFC 3339 does not allow it). A desk that accepts 24:00
#   stores the instant and returns it with the next date.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aniso8601==10.0.1 ciso8601==2.4.1
npm install --silent --no-audit --no-fund --prefix "$work" date-fns@4.4.0 date-fns-tz@3.2.0 luxon@3.7.2

cat > "$work/read.js" <<'JS'
const { parseISO } = require("date-fns");
const { toDate, fromZonedTime, formatInTimeZone } = require("date-fns-tz");
const { DateTime } = require("luxon");
const version = (name) => `${name} ${require(`./node_modules/${name}/package.json`).version}`;
const text = "2026-11-22T24:00:00+08:00";
console.log(`${["date-fns", "date-fns-tz", "luxon"].map(version).join(", ")}: ${text}`);
console.log(`Date                         ${new Date(text).toISOString()}`);
console.log(`luxon                        ${DateTime.fromISO(text).toUTC().toISO()}`);
console.log(`date-fns parseISO            ${parseISO(text).toISOString()}`);
console.log(`date-fns-tz toDate           ${toDate(text).toISOString()}`);
console.log(`date-fns-tz fromZonedTime    ${fromZonedTime("2026-11-22T24:00:00", "Asia/Shanghai").toISOString()}`);
console.log(`date-fns-tz formatInTimeZone ${formatInTimeZone(text, "Asia/Shanghai", "yyyy-MM-dd HH:mm")} in Shanghai`);
JS
cat > "$work/read.py" <<'PY'
import datetime
from importlib.metadata import version
import aniso8601
import ciso8601

TEXT = "2026-11-22T24:00:00+08:00"


def utc(value):
    return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


print(f"ciso8601 {version('ciso8601')}, aniso8601 {version('aniso8601')}: {TEXT}")
print(f"ciso8601                     {utc(ciso8601.parse_datetime(TEXT))}")
print(f"aniso8601                    {utc(aniso8601.parse_datetime(TEXT))}")
start, end = aniso8601.parse_interval("2026-11-22T22:00:00+08:00/2026-11-22T24:00:00+08:00")
print(f"aniso8601, window 22:00/24:00 lasts {(end - start).total_seconds() / 3600} hours")
PY
{
    (cd "$work" && TZ=Asia/Shanghai node read.js)
    "$work/venv/bin/python" "$work/read.py"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
date-fns 4.4.0, date-fns-tz 3.2.0, luxon 3.7.2: 2026-11-22T24:00:00+08:00
Date                         2026-11-22T16:00:00.000Z
luxon                        2026-11-22T16:00:00.000Z
date-fns parseISO            2026-11-22T16:00:00.000Z
date-fns-tz toDate           2026-11-21T16:00:00.000Z
date-fns-tz fromZonedTime    2026-11-21T16:00:00.000Z
date-fns-tz formatInTimeZone 2026-11-22 00:00 in Shanghai
ciso8601 2.4.1, aniso8601 10.0.1: 2026-11-22T24:00:00+08:00
ciso8601                     2026-11-22T16:00:00Z
aniso8601                    2026-11-21T16:00:00Z
aniso8601, window 22:00/24:00 lasts -22.0 hours
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
