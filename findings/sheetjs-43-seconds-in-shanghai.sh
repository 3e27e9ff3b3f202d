#!/usr/bin/env bash
# SheetJS moves every date of a workbook by 43 seconds if the zone of the process is Asia/Shanghai.
#
# Expected: 12:00:00 in a cell is read as 12:00:00 wall clock time, and a Date of 12:00:00 is written as 12:00:00, in every zone.
# Happens: SheetJS converts between serial numbers and Date by the local offset of the year 1899. Shanghai then had local mean time,
#   8 h 5 min 43 s ahead of UTC, and getTimezoneOffset() gives whole minutes only, so 43 seconds remain. Read with cellDates:
#   11:59:17. Written from a Date: 12:00:43 for every other reader. With TZ=UTC there is no difference, so CI does not show it.
# Where a service desk meets it: tickets, duty rosters and asset lists are exchanged as .xlsx. A roster that begins at 00:00:00 is read as
#   23:59:17 of the day before, so the DAY is wrong too.
# What to do: without cellDates read the serial number and convert it with SSF.parse_date_code; write dates as ISO texts or as
#   serial numbers of your own; or run the process with TZ=UTC.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openpyxl==3.1.5
npm install --silent --no-audit --no-fund --prefix "$work" xlsx@0.18.5

cat > "$work/write.py" <<'PY'
import datetime
import sys
import openpyxl

book = openpyxl.Workbook()
book.active.append([datetime.datetime(2026, 11, 22, 12, 0, 0), datetime.datetime(2026, 11, 22, 0, 0, 0)])
book.save(sys.argv[1])
PY
cat > "$work/sheetjs.js" <<'JS'
const xlsx = require("xlsx");
const [source, target] = process.argv.slice(2);
const wall = (date) => `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()} ${date.toTimeString().slice(0, 8)}`;
const cells = (options) => Object.values(xlsx.readFile(source, options).Sheets).map((sheet) => [sheet.A1.v, sheet.B1.v])[0];
const code = xlsx.SSF.parse_date_code(cells({})[0]);
console.log(`TZ=${process.env.TZ}: read with cellDates: ${cells({ cellDates: true }).map(wall).join(", ")}`);
console.log(`  read as a serial number, SSF.parse_date_code: ${code.H}:${code.M}:${code.S}`);
const book = xlsx.utils.book_new();
xlsx.utils.book_append_sheet(book, xlsx.utils.aoa_to_sheet([[new Date(2026, 10, 22, 12, 0, 0)]]));
xlsx.writeFile(book, target);
JS
cat > "$work/read.py" <<'PY'
import sys
import openpyxl

print(f"  a Date of 12:00:00 written by SheetJS, read by openpyxl: {openpyxl.load_workbook(sys.argv[1]).active['A1'].value}")
PY

"$work/venv/bin/python" "$work/write.py" "$work/roster.xlsx"
{
    (cd "$work" && node -p '"xlsx " + require("xlsx").version')
    for zone in UTC Asia/Shanghai; do
        (cd "$work" && TZ=$zone node sheetjs.js roster.xlsx back.xlsx)
        "$work/venv/bin/python" "$work/read.py" "$work/back.xlsx"
    done
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
xlsx 0.18.5
TZ=UTC: read with cellDates: 2026-11-22 12:00:00, 2026-11-22 00:00:00
  read as a serial number, SSF.parse_date_code: 12:0:0
  a Date of 12:00:00 written by SheetJS, read by openpyxl: 2026-11-22 12:00:00
TZ=Asia/Shanghai: read with cellDates: 2026-11-22 11:59:17, 2026-11-21 23:59:17
  read as a serial number, SSF.parse_date_code: 12:0:0
  a Date of 12:00:00 written by SheetJS, read by openpyxl: 2026-11-22 12:00:43
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
