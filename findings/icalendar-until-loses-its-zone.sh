#!/usr/bin/env bash
# icalendar writes the end of a series without its zone (UNTIL=20261202T220000), and the last night shift disappears.
#
# Expected: RFC 5545 requires UNTIL in UTC if DTSTART has a zone. The library gets a datetime with a zone, so it writes
#   UNTIL=20261203T030000Z for 22:00 in New York, as it writes DTSTART with TZID.
# Happens: a datetime in UTC is written with Z. A datetime in any other zone loses the zone and is written as wall clock time. Three
#   nights from 22:00 in New York: recurring-ical-events and ical.js take the time as UTC and return two, node-ical takes it in the zone of
#   DTSTART and returns three, and dateutil raises ValueError. East of Greenwich an end in UTC is later than the end that was meant.
# Where a service desk meets it: a duty roster is written as a series with an end. A person sees three nights, a program pages for two,
#   and the last night has no person on duty.
# What to do: pass UNTIL as until.astimezone(timezone.utc). A desk that reads a series refuses UNTIL without Z beside a DTSTART with TZID,
#   or reads it in the zone of DTSTART and reports it.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check icalendar==7.3.2 recurring-ical-events==3.8.2 python-dateutil==2.9.0.post0 tzdata==2026.6
npm install --silent --no-audit --no-fund --prefix "$work" ical.js@2.2.1 node-ical@0.26.1

cat > "$work/write.py" <<'PY'
import datetime
import sys
from importlib.metadata import version
from zoneinfo import ZoneInfo
import icalendar
import recurring_ical_events
from dateutil import rrule

ZONE = ZoneInfo("America/New_York")
start, end = [datetime.datetime(2026, month, day, 22, tzinfo=ZONE) for month, day in [(11, 30), (12, 2)]]
name, until = sys.argv[1], {"zone": end, "utc": end.astimezone(datetime.timezone.utc)}[sys.argv[1]]
event = icalendar.Event()
event.add("uid", "1@desk.example")
event.add("dtstamp", datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc))
event.add("dtstart", start)
event.add("dtend", start + datetime.timedelta(hours=8))
event.add("rrule", {"freq": "daily", "until": until})
calendar = icalendar.Calendar()
calendar.add("version", "2.0")
calendar.add("prodid", "-//desk//EN")
calendar.add_component(event)
calendar.add_missing_timezones()
text = calendar.to_ical()
with open(sys.argv[2], "wb") as file:
    file.write(text)
rule = event["RRULE"].to_ical().decode()
print(f"icalendar {icalendar.__version__}, until={until.isoformat()}: RRULE:{rule}")
found = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between((2026, 11, 1), (2027, 1, 1))
print(f"  recurring-ical-events {version('recurring-ical-events')}: {len(found)} nights")
try:
    result = f"{len(list(rrule.rrulestr(rule, dtstart=start)))} nights"
except ValueError as error:
    result = f"ValueError, {error}"
print(f"  dateutil {version('python-dateutil')}: {result}")
PY
cat > "$work/read.cjs" <<'JS'
const { readFileSync } = require("node:fs");
const nodeIcal = require("node-ical");

(async () => {
  const { default: ICAL } = await import("ical.js");
  const version = (name) => JSON.parse(readFileSync(`${__dirname}/node_modules/${name}/package.json`)).version;
  const text = readFileSync(process.argv[2], "utf8");
  const component = new ICAL.Component(ICAL.parse(text));
  for (const zone of component.getAllSubcomponents("vtimezone")) ICAL.TimezoneService.register(zone);
  const iterator = new ICAL.Event(component.getFirstSubcomponent("vevent")).iterator();
  let nights = 0;
  while (nights < 100 && iterator.next()) nights += 1;
  console.log(`  ical.js ${version("ical.js")}: ${nights} nights`);
  const other = Object.values(nodeIcal.sync.parseICS(text)).find((item) => item.type === "VEVENT");
  console.log(`  node-ical ${version("node-ical")}: ${other.rrule.all().length} nights`);
})();
JS
for until in zone utc; do
    "$work/venv/bin/python" "$work/write.py" $until "$work/roster.ics"
    TZ=Asia/Shanghai node "$work/read.cjs" "$work/roster.ics"
done | tee "$work/seen"

cat > "$work/expected" <<'OUT'
icalendar 7.3.2, until=2026-12-02T22:00:00-05:00: RRULE:FREQ=DAILY;UNTIL=20261202T220000
  recurring-ical-events 3.8.2: 2 nights
  dateutil 2.9.0.post0: ValueError, RRULE UNTIL values must be specified in UTC when DTSTART is timezone-aware
  ical.js 2.2.1: 2 nights
  node-ical 0.26.1: 3 nights
icalendar 7.3.2, until=2026-12-03T03:00:00+00:00: RRULE:FREQ=DAILY;UNTIL=20261203T030000Z
  recurring-ical-events 3.8.2: 3 nights
  dateutil 2.9.0.post0: 3 nights
  ical.js 2.2.1: 3 nights
  node-ical 0.26.1: 3 nights
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
