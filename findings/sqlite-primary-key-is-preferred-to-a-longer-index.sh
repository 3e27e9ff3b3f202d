#!/usr/bin/env bash
# SQLite: without statistics, a query with two conditions on an index with exactly these two columns scans a part of the primary key.
#
# Expected: in a WITHOUT ROWID table with PRIMARY KEY (view, name, value, key) and an index on (view, key), the query
#   SELECT value, own FROM entries WHERE view = ? AND key = ? uses the index, because both conditions are columns of it.
# Happens: the query planner uses the primary key for the condition on view alone, and reads all rows of the view. Without ANALYZE, it
#   assumes 10 rows for a condition on one column and 9 rows for conditions on two columns. The index needs one more lookup for each row,
#   because it does not contain the column own. So 10 rows of the primary key seem to be cheaper than 9 rows of the index. If the query
#   reads only columns of the index and of the primary key, SQLite uses the index.
# Where a service desk meets it: each change of a ticket reads the stored list rows of this ticket. With the primary key, it reads the
#   rows of all tickets, so the time of one change grows with the number of tickets, and no error shows it.
# What to do: name the index in the query (INDEXED BY entries_by_key), or run ANALYZE. Check the plan with EXPLAIN QUERY PLAN.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
# apsw contains a copy of SQLite of its own.
"$work/venv/bin/pip" install --quiet --disable-pip-version-check apsw==3.54.1.0

cat > "$work/plan.py" <<'PY'
import apsw

ROWS, VIEWS, ASKED = 20_000, 2, "key00000042"
database = apsw.Connection(":memory:")
database.execute(
    "CREATE TABLE entries (view TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL, own TEXT NOT NULL,"
    " PRIMARY KEY (view, name, value, key)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX entries_by_key ON entries (view, key)"
)
for number in range(ROWS):
    row = (f"view{number % VIEWS}", "open", f"{number:08}", f"key{number:08}", "")
    database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row)


def show(what, columns, table="entries"):
    query = f"SELECT {columns} FROM {table} WHERE view = ? AND key = ?"
    plan = database.execute(f"EXPLAIN QUERY PLAN {query}", ("view0", ASKED)).fetchall()[0][3]
    steps = []
    database.set_progress_handler(lambda: bool(steps.append(1)), 100)
    found = len(database.execute(query, ("view0", ASKED)).fetchall())
    database.set_progress_handler(None)
    size = "many" if len(steps) > 100 else "few"
    print(f"{what}: {plan}; {found} row, {size} steps")


print(f"SQLite {apsw.sqlite_lib_version()}")
show("two conditions", "value, own")
show("without the other column", "value")
show("with INDEXED BY", "value, own", "entries INDEXED BY entries_by_key")
database.execute("ANALYZE")
show("after ANALYZE", "value, own")
PY
"$work/venv/bin/python" "$work/plan.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
SQLite 3.54.1
two conditions: SEARCH entries USING PRIMARY KEY (view=?); 1 row, many steps
without the other column: SEARCH entries USING COVERING INDEX entries_by_key (view=? AND key=?); 1 row, few steps
with INDEXED BY: SEARCH entries USING INDEX entries_by_key (view=? AND key=?); 1 row, few steps
after ANALYZE: SEARCH entries USING INDEX entries_by_key (view=? AND key=?); 1 row, few steps
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
