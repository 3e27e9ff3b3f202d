#!/usr/bin/env bash
# pm4py counts business hours on the UTC clock, whatever offset the log has.
#
# Expected: an incident that is open from 09:00 to 17:00 on a Monday in Shanghai (+08:00) has 8 business hours; the default slots of
#   pm4py are 07:00 to 17:00 from Monday to Friday.
# Happens: format_dataframe and read_xes convert all times to UTC, and the slots are applied to the UTC clock. The same incident has 2
#   hours. An incident that is open from 00:00 to 08:00 on a Saturday has 1 business hour. There is no parameter for a zone.
# Where a service desk meets it: process mining of an incident log. Every service level figure for working time is wrong east and west of
#   Greenwich, and nothing in the result shows it.
# What to do: compute working time on the desk, with its own calendar, and export it as a column. In pm4py: after format_dataframe,
#   convert the time column to local wall clock time before any call with business_hours=True.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pm4py==2.7.23.11 pandas==3.1.1

cat > "$work/count.py" <<'PY'
import sys
import pandas
import pm4py

CASE, ACTIVITY, TIME = "case:concept:name", "concept:name", "time:timestamp"


def hours(opened, closed, prepare=lambda log: log):
    log = pandas.DataFrame({CASE: ["INC1", "INC1"], ACTIVITY: ["open", "close"], TIME: pandas.to_datetime([opened, closed])})
    log = pm4py.format_dataframe(log, case_id=CASE, activity_key=ACTIVITY, timestamp_key=TIME)
    return pm4py.get_all_case_durations(prepare(log), business_hours=True)[0] / 3600


def as_wall_clock(log):
    log[TIME] = log[TIME].dt.tz_convert("Asia/Shanghai").dt.tz_localize(None)
    return log


monday = "2026-11-23T09:00:00+08:00", "2026-11-23T17:00:00+08:00"
saturday = "2026-11-28T00:00:00+08:00", "2026-11-28T08:00:00+08:00"
with open(sys.argv[1], "w") as seen:
    print(f"pm4py {pm4py.__version__}, pandas {pandas.__version__}", file=seen)
    print(f"Monday 09:00 to 17:00 in Shanghai: {hours(*monday)} business hours", file=seen)
    print(f"Saturday 00:00 to 08:00 in Shanghai: {hours(*saturday)} business hours", file=seen)
    print(f"with wall clock times: Monday {hours(*monday, as_wall_clock)}, Saturday {hours(*saturday, as_wall_clock)}", file=seen)
PY
# pm4py prints a license notice to standard error at import.
"$work/venv/bin/python" -W ignore "$work/count.py" "$work/seen" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
cat "$work/seen"

cat > "$work/expected" <<'OUT'
pm4py 2.7.23.11, pandas 3.1.1
Monday 09:00 to 17:00 in Shanghai: 2.0 business hours
Saturday 00:00 to 08:00 in Shanghai: 1.0 business hours
with wall clock times: Monday 8.0, Saturday 0.0
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
