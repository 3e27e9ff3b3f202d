#!/usr/bin/env bash
# chinesecalendar: get_holidays(..., include_weekends=False) returns Saturdays and Sundays, and get_holiday_detail names working days.
#
# Expected: the document of include_weekends is "False for excluding Saturdays and Sundays". get_holiday_detail returns a name if the day
#   is a holiday.
# Happens: get_holidays(include_weekends=False) removes only the weekends WITHOUT a holiday name. 3 and 4 October 2026, a Saturday
#   and a Sunday, stay. get_workdays(include_weekends=False) really removes all of them, also 10 October, a working Saturday. So the
#   same parameter has two meanings. get_holiday_detail returns (False, "National Day") for that Saturday and (True, None) for a plain
#   Sunday: the name does not show whether people work.
# Where a service desk meets it: duty rosters and quiet hours distinguish weekends (rate 2) from statutory holidays (rate 3), and a
#   program that takes a name for a holiday sends nothing on a working Saturday.
# What to do: use is_workday(day), or the first member of get_holiday_detail, and day.weekday() of your own. Use the name for display only.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check chinesecalendar==1.11.0

cat > "$work/days.py" <<'PY'
from datetime import date
from importlib.metadata import version
import chinese_calendar

NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
first, last = date(2026, 9, 28), date(2026, 10, 11)


def show(days):
    return ", ".join(f"{NAMES[day.weekday()]} {day:%m-%d}" for day in days)


print(f"chinesecalendar {version('chinesecalendar')}, {first} to {last}")
print(f"get_holidays: {show(chinese_calendar.get_holidays(first, last))}")
print(f"get_holidays, include_weekends=False: {show(chinese_calendar.get_holidays(first, last, include_weekends=False))}")
print(f"get_workdays: {show(chinese_calendar.get_workdays(first, last))}")
print(f"get_workdays, include_weekends=False: {show(chinese_calendar.get_workdays(first, last, include_weekends=False))}")
for day in [date(2026, 10, 3), date(2026, 10, 10), date(2026, 10, 11), date(2026, 10, 12)]:
    print(f"get_holiday_detail, {show([day])}: {chinese_calendar.get_holiday_detail(day)}")
PY
"$work/venv/bin/python" "$work/days.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
chinesecalendar 1.11.0, 2026-09-28 to 2026-10-11
get_holidays: Thu 10-01, Fri 10-02, Sat 10-03, Sun 10-04, Mon 10-05, Tue 10-06, Wed 10-07, Sun 10-11
get_holidays, include_weekends=False: Thu 10-01, Fri 10-02, Sat 10-03, Sun 10-04, Mon 10-05, Tue 10-06, Wed 10-07
get_workdays: Mon 09-28, Tue 09-29, Wed 09-30, Thu 10-08, Fri 10-09, Sat 10-10
get_workdays, include_weekends=False: Mon 09-28, Tue 09-29, Wed 09-30, Thu 10-08, Fri 10-09
get_holiday_detail, Sat 10-03: (True, 'National Day')
get_holiday_detail, Sat 10-10: (False, 'National Day')
get_holiday_detail, Sun 10-11: (True, None)
get_holiday_detail, Mon 10-12: (False, None)
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
