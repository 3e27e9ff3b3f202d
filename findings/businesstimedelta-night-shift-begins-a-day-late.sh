#!/usr/bin/env bash
# businesstimedelta gives a ticket of 23:00 in the night shift from 22:00 to 06:00 its first minute of work at 22:00 of the NEXT day.
#
# Expected: WorkDayRule documents "Overnight shifts can be represented by setting end time less than start time". At 23:00 on Monday the
#   shift runs, so two hours of work end at 01:00 on Tuesday, as two hours from 10:00 end at 12:00 in a day shift.
# Happens: the rule looks for a start AFTER the given time, on the calendar day of this time. From 22:00 on, the running shift is not found,
#   and after midnight the shift of the day before is not found either. Work then begins at 22:00 of the next or the same evening.
#   One minute before the shift, at 21:59, the result is right. difference() from within the shift returns 0 hours.
# Where a service desk meets it: the due time of a ticket that is opened during the night is a day late, so the alarm about a broken promise
#   never comes. Tickets of the day shift and of the evening are right, and so are tests with a start before the shift.
# What to do: divide the night into two rules, 22:00 to 23:59:59.999999 and 00:00 to 06:00, and test starts within each of them.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check businesstimedelta==1.0.1 pytz==2019.3

cat > "$work/shifts.py" <<'PY'
from datetime import datetime, time
from importlib.metadata import version
import pytz
from businesstimedelta import BusinessTimeDelta, Rules, WorkDayRule

ZONE = pytz.timezone("Asia/Shanghai")
ALL = list(range(7))
print(f"businesstimedelta {version('businesstimedelta')}")


def rule(start, end):
    return WorkDayRule(start_time=start, end_time=end, working_days=ALL, tz=ZONE)


day = Rules([rule(time(8), time(16))])
night = Rules([rule(time(22), time(6))])
divided = Rules([rule(time(22), time(23, 59, 59, 999999)), rule(time(0), time(6))])
for name, rules, starts in [
    ("08:00 to 16:00", day, [(16, 7, 59), (16, 8, 0), (16, 10, 0)]),
    ("22:00 to 06:00", night, [(16, 21, 59), (16, 22, 0), (16, 23, 0), (17, 2, 0)]),
    ("22:00 to 24:00 and 00:00 to 06:00", divided, [(16, 21, 59), (16, 22, 0), (16, 23, 0), (17, 2, 0)]),
]:
    print(f"{name}:")
    for start in starts:
        opened = ZONE.localize(datetime(2026, 11, *start))
        due = (opened + BusinessTimeDelta(rules, hours=2)).astimezone(ZONE)
        end = ZONE.localize(datetime(2026, 11, 17, 17 if rules is day else 12))
        work = rules.difference(opened, end)
        print(
            f"  opened {opened:%d %H:%M}, due after 2 hours of work: {due:%d %H:%M}, "
            f"work until {end:%d %H:%M}: {work.hours + work.seconds / 3600:.1f} h"
        )
PY
"$work/venv/bin/python" "$work/shifts.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
businesstimedelta 1.0.1
08:00 to 16:00:
  opened 16 07:59, due after 2 hours of work: 16 10:00, work until 17 17:00: 16.0 h
  opened 16 08:00, due after 2 hours of work: 16 10:00, work until 17 17:00: 16.0 h
  opened 16 10:00, due after 2 hours of work: 16 12:00, work until 17 17:00: 14.0 h
22:00 to 06:00:
  opened 16 21:59, due after 2 hours of work: 17 00:00, work until 17 12:00: 8.0 h
  opened 16 22:00, due after 2 hours of work: 18 00:00, work until 17 12:00: 0.0 h
  opened 16 23:00, due after 2 hours of work: 18 00:00, work until 17 12:00: 0.0 h
  opened 17 02:00, due after 2 hours of work: 18 00:00, work until 17 12:00: 0.0 h
22:00 to 24:00 and 00:00 to 06:00:
  opened 16 21:59, due after 2 hours of work: 17 00:00, work until 17 12:00: 8.0 h
  opened 16 22:00, due after 2 hours of work: 17 00:00, work until 17 12:00: 8.0 h
  opened 16 23:00, due after 2 hours of work: 17 01:00, work until 17 12:00: 7.0 h
  opened 17 02:00, due after 2 hours of work: 17 04:00, work until 17 12:00: 4.0 h
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
