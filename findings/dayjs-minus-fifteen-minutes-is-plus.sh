#!/usr/bin/env bash
# dayjs reads the duration -PT15M as 15 minutes AFTER, and PT1,5H as zero.
#
# Expected: -PT15M is the form of RFC 5545 (3.3.6) for "15 minutes before", and of ISO 8601-2. ISO 8601 also permits a comma before the
#   fraction, so PT1,5H is 90 minutes. A parser that does not know a form returns an error, or an invalid
#   duration as luxon does for the comma.
# Happens: the pattern of the plugin `duration` accepts a sign before the P and then drops it. Only signs inside are used (PT-15M). The
#   plugin writes -PT15M itself, so a negative duration that is written and read again becomes positive. A number with a comma
#   becomes a duration of zero without an error. luxon reads -PT15M correctly.
# Where a service desk meets it: "15 minutes before the end of the SLA" is stored or imported as -PT15M, in calendars as TRIGGER:-PT15M.
#   The reminder then arrives 15 minutes AFTER the time is over. A threshold of PT1,5H is over at once.
# What to do: cut the sign off before the parser and apply it afterwards, and write fractions with a point, or use luxon.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" dayjs@1.11.23 luxon@3.7.2

cat > "$work/durations.cjs" <<'JS'
const dayjs = require("dayjs");
const { DateTime, Duration } = require("luxon");

dayjs.extend(require("dayjs/plugin/duration"));
dayjs.extend(require("dayjs/plugin/utc"));
const version = (name) => require(`./node_modules/${name}/package.json`).version;
console.log(`dayjs ${version("dayjs")}, luxon ${version("luxon")}`);
const end = "2026-11-30T08:00:00Z";
for (const text of ["PT15M", "-PT15M", "PT-15M", "-P1DT12H", "PT1.5H", "PT1,5H"]) {
  const mine = dayjs.utc(end).add(dayjs.duration(text)).format("MM-DD HH:mm");
  const duration = Duration.fromISO(text);
  const other = duration.isValid ? DateTime.fromISO(end, { zone: "utc" }).plus(duration).toFormat("MM-dd HH:mm") : "invalid";
  console.log(`08:00 plus ${text}: dayjs ${mine}, luxon ${other}`);
}
const before = dayjs.duration(-15, "minutes");
const again = dayjs.duration(before.toISOString());
console.log(`${before.asMinutes()} minutes are written as ${before.toISOString()} and read as ${again.asMinutes()} minutes`);
JS
node "$work/durations.cjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
dayjs 1.11.23, luxon 3.7.2
08:00 plus PT15M: dayjs 11-30 08:15, luxon 11-30 08:15
08:00 plus -PT15M: dayjs 11-30 08:15, luxon 11-30 07:45
08:00 plus PT-15M: dayjs 11-30 07:45, luxon 11-30 07:45
08:00 plus -P1DT12H: dayjs 12-01 20:00, luxon 11-28 20:00
08:00 plus PT1.5H: dayjs 11-30 09:30, luxon 11-30 09:30
08:00 plus PT1,5H: dayjs 11-30 08:00, luxon invalid
-15 minutes are written as -PT15M and read as 15 minutes
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
