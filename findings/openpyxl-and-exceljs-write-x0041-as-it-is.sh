#!/usr/bin/env bash
# openpyxl and exceljs write the text node_x0041_7 without an escape, so other readers of the workbook get "nodeA7".
#
# Expected: ECMA-376 (22.9.2.19, ST_Xstring) uses _xHHHH_ for a character by its number, and _x005F_ for an underscore that begins such
#   a text by chance. A writer escapes it, and a reader decodes it, so each text comes back as it was. XlsxWriter and calamine do so.
# Happens: both writers put the text into the file unchanged. exceljs reads its own text back as nodeA7, because its reader decodes shared
#   strings, and only these. The reader of openpyxl decodes nothing: its own text comes back, but a carriage return, which
#   XlsxWriter writes as _x000D_, is read as these seven characters. Both writers lose the carriage return.
# Where a service desk meets it: names of machines, keys and lines of logs are exported and imported as .xlsx. An identifier of this form changes,
#   and texts with Windows line ends get _x000D_ at each line.
# What to do: replace each "_" before x, four hexadecimal digits and "_" by "_x005F_" before writing, and pass what openpyxl reads through
#   openpyxl.utils.escape.unescape(). Its escape() does not change such texts.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check XlsxWriter==3.3.1 openpyxl==3.1.5 python-calamine==0.9.1
npm install --silent --no-audit --no-fund --prefix "$work" exceljs@4.4.0

cat > "$work/write.py" <<'PY'
import re
import sys
import openpyxl
import openpyxl.utils.escape
import xlsxwriter

texts = ["node_x0041_7", "a\r\nb"]
workbook = openpyxl.Workbook()
workbook.active.append(texts)
workbook.active.append([openpyxl.utils.escape.escape(texts[0]), re.sub("_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", texts[0])])
workbook.save(f"{sys.argv[1]}/openpyxl.xlsx")
workbook = xlsxwriter.Workbook(f"{sys.argv[1]}/XlsxWriter.xlsx")
workbook.add_worksheet().write_row(0, 0, texts)
workbook.close()
PY
cat > "$work/write.cjs" <<'JS'
const ExcelJS = require("exceljs");

const workbook = new ExcelJS.Workbook();
workbook.addWorksheet("texts").addRow(["node_x0041_7", "a\r\nb"]);
workbook.xlsx.writeFile(`${__dirname}/exceljs.xlsx`);
JS
cat > "$work/read.py" <<'PY'
import json
import sys
from importlib.metadata import version
import openpyxl
from python_calamine import CalamineWorkbook

for writer in ["XlsxWriter", "openpyxl", "exceljs"]:
    path = f"{sys.argv[1]}/{writer}.xlsx"
    values = [cell.value for cell in openpyxl.load_workbook(path).active[1]]
    print(f"{writer} to openpyxl {version('openpyxl')}: {json.dumps(values)}")
    values = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()[0]
    print(f"{writer} to python-calamine {version('python-calamine')}: {json.dumps(values)}")
values = CalamineWorkbook.from_path(f"{sys.argv[1]}/openpyxl.xlsx").get_sheet_by_index(0).to_python()[1]
print(f"openpyxl with escape(), with the replacement: {json.dumps(values)}")
PY
cat > "$work/read.cjs" <<'JS'
const ExcelJS = require("exceljs");
const { version } = require("./node_modules/exceljs/package.json");

(async () => {
  for (const writer of ["XlsxWriter", "openpyxl", "exceljs"]) {
    const workbook = new ExcelJS.Workbook();
    await workbook.xlsx.readFile(`${__dirname}/${writer}.xlsx`);
    console.log(`${writer} to exceljs ${version}: ${JSON.stringify(workbook.worksheets[0].getRow(1).values.slice(1))}`);
  }
})();
JS
{
    "$work/venv/bin/python" "$work/write.py" "$work"
    node "$work/write.cjs"
    "$work/venv/bin/python" "$work/read.py" "$work"
    node "$work/read.cjs"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
XlsxWriter to openpyxl 3.1.5: ["node_x0041_7", "a_x000D_\nb"]
XlsxWriter to python-calamine 0.9.1: ["node_x0041_7", "a\r\nb"]
openpyxl to openpyxl 3.1.5: ["node_x0041_7", "a\nb"]
openpyxl to python-calamine 0.9.1: ["nodeA7", "a\nb"]
exceljs to openpyxl 3.1.5: ["node_x0041_7", "a\nb"]
exceljs to python-calamine 0.9.1: ["nodeA7", "a\nb"]
openpyxl with escape(), with the replacement: ["nodeA7", "node_x0041_7"]
XlsxWriter to exceljs 4.4.0: ["node_x0041_7","a\r\nb"]
openpyxl to exceljs 4.4.0: ["node_x0041_7","a\nb"]
exceljs to exceljs 4.4.0: ["nodeA7","a\nb"]
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
