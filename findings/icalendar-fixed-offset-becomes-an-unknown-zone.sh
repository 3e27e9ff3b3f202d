#!/usr/bin/env bash
# icalendar writes 2026-11-30T08:00:00+08:00 as DTSTART;TZID="UTC+08:00", a zone that even icalendar cannot read.
#
# Expected: an instant with a fixed offset has no named zone, so the library writes it in UTC (20261130T000000Z), as it does for
#   LAST-MODIFIED and for +00:00. Or it raises an error. The instant is kept in both cases.
# Happens: for DTSTART, DTEND, EXDATE and RDATE the text "UTC+08:00" of Python's timezone class becomes the TZID. RFC 5545 requires a
#   VTIMEZONE with this name, and add_missing_timezones() adds none. icalendar reads its own text back as 08:00 WITHOUT a zone,
#   ical.js as 08:00 in the zone of the process, and node-ical returns a text instead of a date. None reports an error.
# Where a service desk meets it: datetime.fromisoformat returns such values for each time with an offset, for example from an API. A shift
#   or a maintenance window is sent as an invitation, and each reader puts it at another instant.
# What to do: value.astimezone(timezone.utc) for a single event, and value.astimezone(ZoneInfo("Asia/Shanghai")) with a VTIMEZONE for a
#   series. A desk that reads calendars refuses unknown zones.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check icalendar==7.3.2 tzdata==2026.6
npm install --silent --no-audit --no-fund --prefix "$work" ical.js@2.2.1 node-ical@0.26.1

cat > "$work/write.py" <<'PY'
import datetime
import sys
from zoneinfo import ZoneInfo
import icalendar

print(f"icalendar {icalendar.__version__}")
fixed = datetime.datetime.fromisoformat("2026-11-30T08:00:00+08:00")
for name, start in [
    ("fixed", fixed),
    ("utc", fixed.astimezone(datetime.timezone.utc)),
    ("named", fixed.astimezone(ZoneInfo("Asia/Shanghai"))),
]:
    event = icalendar.Event()
    event.add("uid", "1@desk.example")
    event.add("dtstamp", fixed)
    event.add("dtstart", start)
    event.add("last-modified", fixed)
    calendar = icalendar.Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//desk//EN")
    calendar.add_component(event)
    calendar.add_missing_timezones()
    text = calendar.to_ical()
    with open(f"{sys.argv[1]}/{name}.ics", "wb") as file:
        file.write(text)
    lines = text.decode().split("\r\n")
    written = [line for line in lines if line.startswith(("DTSTART;TZID=", "DTSTART:2", "LAST"))]
    print(f"{name}: {', '.join(written)}, VTIMEZONE {lines.count('BEGIN:VTIMEZONE')}")
    read = icalendar.Calendar.from_ical(text).walk("VEVENT")[0]
    print(f"  icalendar reads {read['DTSTART'].dt.isoformat()}, errors: {read.errors}")
PY
cat > "$work/read.cjs" <<'JS'
const { readFileSync } = require("node:fs");
const nodeIcal = require("node-ical");

(async () => {
  const { default: ICAL } = await import("ical.js");
  const version = (name) => JSON.parse(readFileSync(`${__dirname}/node_modules/${name}/package.json`)).version;
  console.log(`ical.js ${version("ical.js")}, node-ical ${version("node-ical")}, TZ=${process.env.TZ}`);
  for (const name of ["fixed", "utc", "named"]) {
    const text = readFileSync(`${__dirname}/${name}.ics`, "utf8");
    const component = new ICAL.Component(ICAL.parse(text));
    for (const zone of component.getAllSubcomponents("vtimezone")) ICAL.TimezoneService.register(zone);
    const start = new ICAL.Event(component.getFirstSubcomponent("vevent")).startDate;
    const other = Object.values(nodeIcal.sync.parseICS(text)).find((item) => item.type === "VEVENT").start;
    const shown = typeof other === "string" ? `the text ${other}` : other.toISOString();
    console.log(`${name}: ical.js reads ${start.toJSDate().toISOString()}, node-ical reads ${shown}`);
  }
})();
JS
{
    "$work/venv/bin/python" "$work/write.py" "$work"
    TZ=Europe/Berlin node "$work/read.cjs"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
icalendar 7.3.2
fixed: DTSTART;TZID="UTC+08:00":20261130T080000, LAST-MODIFIED:20261130T000000Z, VTIMEZONE 0
  icalendar reads 2026-11-30T08:00:00, errors: []
utc: DTSTART:20261130T000000Z, LAST-MODIFIED:20261130T000000Z, VTIMEZONE 0
  icalendar reads 2026-11-30T00:00:00+00:00, errors: []
named: DTSTART;TZID=Asia/Shanghai:20261130T080000, LAST-MODIFIED:20261130T000000Z, VTIMEZONE 1
  icalendar reads 2026-11-30T08:00:00+08:00, errors: []
ical.js 2.2.1, node-ical 0.26.1, TZ=Europe/Berlin
fixed: ical.js reads 2026-11-30T07:00:00.000Z, node-ical reads the text 00:20261130T080000
utc: ical.js reads 2026-11-30T00:00:00.000Z, node-ical reads 2026-11-30T00:00:00.000Z
named: ical.js reads 2026-11-30T00:00:00.000Z, node-ical reads 2026-11-30T00:00:00.000Z
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
