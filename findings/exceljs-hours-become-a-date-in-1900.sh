#!/usr/bin/env bash
# exceljs reads 90 in a cell with the number format 0\h ("90h") as the date 30 March 1900.
#
# Expected: in a number format, the character after a backslash is shown as it is, the one after an underscore only reserves its width, and
#   the one after an asterisk fills the cell. So 0\h, 0.00\m and 0_d are formats of numbers, as 0"h" is. The cell is the number 90.
# Happens: exceljs removes brackets and quoted texts from the format, and then takes each remaining letter d, m or h as a sign of a date.
#   The number becomes a Date, in days since 1899-12-30, and numFmt has lost the backslash: "0h". calamine returns 90 for each format,
#   and openpyxl for all but the one with the asterisk.
# Where a service desk meets it: effort in hours, response times in minutes and ages in days are columns with such a unit. The import of a
#   sheet has dates in 1900 for one column, and 90 for another one that looks the same in Excel.
# What to do: in a column of numbers, convert each Date back: (value - Date.UTC(1899, 11, 30)) / 86400000. Writers put units in quotes.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check XlsxWriter==3.3.1 openpyxl==3.1.5 python-calamine==0.9.1
npm install --silent --no-audit --no-fund --prefix "$work" exceljs@4.4.0

cat > "$work/sheet.py" <<'PY'
import sys
from importlib.metadata import version
import openpyxl
import xlsxwriter
from python_calamine import CalamineWorkbook

workbook = xlsxwriter.Workbook(sys.argv[1])
sheet = workbook.add_worksheet()
for row, number_format in enumerate(["0", '0"h"', "0\\h", "0.00\\m", "0\\ \\d", "0_d", "0*d"]):
    sheet.write_number(row, 0, 90, workbook.add_format({"num_format": number_format}))
workbook.close()
cells = [row[0] for row in openpyxl.load_workbook(sys.argv[1]).active.iter_rows()]
print(f"openpyxl {version('openpyxl')}: {', '.join(f'{cell.number_format} is {cell.value}' for cell in cells)}")
values = [row[0] for row in CalamineWorkbook.from_path(sys.argv[1]).get_sheet_by_index(0).to_python()]
print(f"python-calamine {version('python-calamine')}: {', '.join(str(value) for value in values)}")
PY
cat > "$work/read.cjs" <<'JS'
const ExcelJS = require("exceljs");
const { version } = require("./node_modules/exceljs/package.json");

(async () => {
  const workbook = new ExcelJS.Workbook();
  await workbook.xlsx.readFile(process.argv[2]);
  console.log(`exceljs ${version}`);
  workbook.worksheets[0].eachRow((row) => {
    const { value, numFmt } = row.getCell(1);
    console.log(`  ${numFmt ?? "0"} is ${value instanceof Date ? value.toISOString() : value}`);
  });
})();
JS
{
    "$work/venv/bin/python" "$work/sheet.py" "$work/effort.xlsx"
    node "$work/read.cjs" "$work/effort.xlsx"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
openpyxl 3.1.5: 0 is 90, 0"h" is 90, 0\h is 90, 0.00\m is 90, 0\ \d is 90, 0_d is 90, 0*d is 1900-03-30 00:00:00
python-calamine 0.9.1: 90.0, 90.0, 90.0, 90.0, 90.0, 90.0, 90.0
exceljs 4.4.0
  0 is 90
  0"h" is 90
  0h is 1900-03-30T00:00:00.000Z
  0.00m is 1900-03-30T00:00:00.000Z
  0 d is 1900-03-30T00:00:00.000Z
  0_d is 1900-03-30T00:00:00.000Z
  0*d is 1900-03-30T00:00:00.000Z
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
