#!/usr/bin/env bash
# exceljs reads a CSV field with one space as the number 0, the phone number +8613800000000 as 8613800000000, and 18 digits rounded.
#
# Expected: a field of a CSV file is a text. A reader that looks for numbers converts only what it can write back: no blank field, no leading
#   zero, no plus sign, and no digits beyond the 15 that a number of Excel has.
# Happens: csv.read() and csv.readFile() call Number() for each field by default, also for a quoted one. Number(" ") is 0. 0012, 00E1 and
#   0x1F become 12, 0 and 31. A number with 18 digits gets other last digits. MM-DD-YYYY becomes a date, so 11-12-2026 is 12 November
#   everywhere. Papa Parse converts on request only (dynamicTyping), and then keeps the space, the plus sign, 0x1F and the 18 digits.
# Where a service desk meets it: people, assets and tickets are imported as CSV. A staff number 0012 matches no person or another one, an
#   order number of 18 digits matches no record, and "no answer" (a space) in a rating becomes 0 of 5. No warning appears.
# What to do: pass { map: (value) => value } to csv.read() and csv.readFile(), and convert the columns that are known to be numbers.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" exceljs@4.4.0 papaparse@5.7.1

cat > "$work/import.cjs" <<'JS'
const ExcelJS = require("exceljs");
const Papa = require("papaparse");
const { Readable } = require("stream");

const version = (name) => require(`./node_modules/${name}/package.json`).version;
const fields = [
  ["staff number", "0012"],
  ["asset", '"00E1"'],
  ["rack", "0x1F"],
  ["phone", '"+8613800000000"'],
  ["order", "202611300000012345"],
  ["rating", '" "'],
  ["due", "11-12-2026"],
  ["empty", ""],
];
const text = fields.map(([name]) => name).join(",") + "\n" + fields.map(([, value]) => value).join(",") + "\n";
const read = async (options) => {
  const sheet = await new ExcelJS.Workbook().csv.read(Readable.from([text]), options);
  return fields.map((_, index) => sheet.getRow(2).getCell(index + 1).value);
};
const shown = (value) => (value instanceof Date ? `Date ${value.toISOString().slice(0, 10)}` : JSON.stringify(value));
(async () => {
  console.log(`exceljs ${version("exceljs")}, papaparse ${version("papaparse")}`);
  const [standard, mapped] = [await read(), await read({ map: (value) => value })];
  const papa = Papa.parse(text, { dynamicTyping: true }).data[1];
  fields.forEach(([name, value], index) =>
    console.log(`${name} ${value}: exceljs ${shown(standard[index])}, with map ${shown(mapped[index])}, Papa Parse ${shown(papa[index])}`),
  );
})();
JS
TZ=UTC node "$work/import.cjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
exceljs 4.4.0, papaparse 5.7.1
staff number 0012: exceljs 12, with map "0012", Papa Parse 12
asset "00E1": exceljs 0, with map "00E1", Papa Parse 0
rack 0x1F: exceljs 31, with map "0x1F", Papa Parse "0x1F"
phone "+8613800000000": exceljs 8613800000000, with map "+8613800000000", Papa Parse "+8613800000000"
order 202611300000012345: exceljs 202611300000012350, with map "202611300000012345", Papa Parse "202611300000012345"
rating " ": exceljs 0, with map " ", Papa Parse " "
due 11-12-2026: exceljs Date 2026-11-12, with map "11-12-2026", Papa Parse "11-12-2026"
empty : exceljs null, with map "", Papa Parse null
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
