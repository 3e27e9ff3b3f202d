#!/usr/bin/env bash
# holidays (PyPI): CN() + HK(), or CN() plus a calendar of one company, forgets the working Saturdays and Sundays of China.
#
# Expected: the sum of two calendars has the days of both. 10 October 2026 is a Saturday on which China works, so
#   is_working_day() is True for CN(), and a sum with a calendar that has no entry for this day does not change it.
# Happens: the sum takes over the holidays only. The list of the moved working days stays empty, without an error, even for CN() + CN().
#   is_working_day(), get_nth_working_day() and get_working_days_count() then skip these days. A day that was added with update() or
#   append() to CN() itself keeps them.
# Where a service desk meets it: a company has its own days off, or a team works in two places, so the sum is the documented way. A due
#   time of one working day moves from Saturday to Monday near each long holiday, and a count of working days is one too small.
# What to do: take CN() as the base and add the other days with update(), or ask each calendar separately.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109

cat > "$work/days.py" <<'PY'
from datetime import date
import holidays


class Company(holidays.HolidayBase):
    """The days off of one company."""

    def _populate(self, year):
        self[date(year, 11, 11)] = "Founding day"


print(f"holidays {holidays.__version__}")
moved = [date(2026, 1, 4), date(2026, 2, 14), date(2026, 9, 20), date(2026, 10, 10)]
updated = holidays.CN(years=2026)
updated.update({date(2026, 11, 11): "Founding day"})
for name, calendar in [
    ("CN()", holidays.CN(years=2026)),
    ("CN() with update()", updated),
    ("CN() + HK()", holidays.CN(years=2026) + holidays.HK(years=2026)),
    ("CN() + Company()", holidays.CN(years=2026) + Company(years=2026)),
    ("CN() + CN()", holidays.CN(years=2026) + holidays.CN(years=2026)),
]:
    working = [f"{day:%d.%m.}" for day in moved if calendar.is_working_day(day)]
    following = calendar.get_nth_working_day(date(2026, 10, 9), 1)
    count = calendar.get_working_days_count(date(2026, 10, 8), date(2026, 10, 14))
    days = " ".join(working) or "none"
    print(f"{name}: working weekend days: {days}; day after Friday 9 October: {following}; 8 to 14 October: {count} days")
PY
"$work/venv/bin/python" "$work/days.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
holidays 0.109
CN(): working weekend days: 04.01. 14.02. 20.09. 10.10.; day after Friday 9 October: 2026-10-10; 8 to 14 October: 6 days
CN() with update(): working weekend days: 04.01. 14.02. 20.09. 10.10.; day after Friday 9 October: 2026-10-10; 8 to 14 October: 6 days
CN() + HK(): working weekend days: none; day after Friday 9 October: 2026-10-12; 8 to 14 October: 5 days
CN() + Company(): working weekend days: none; day after Friday 9 October: 2026-10-12; 8 to 14 October: 5 days
CN() + CN(): working weekend days: none; day after Friday 9 October: 2026-10-12; 8 to 14 October: 5 days
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
