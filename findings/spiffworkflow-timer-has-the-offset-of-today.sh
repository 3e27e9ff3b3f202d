#!/usr/bin/env bash
# SpiffWorkflow: a timer for 08:00 on a day in summer fires at 09:00 if the process was started in winter, and the other way round.
#
# Expected: a date in a timer without an offset is local time. In Berlin, 2027-01-15T08:00 is 07:00 UTC and 2027-07-15T08:00 is 06:00 UTC,
#   as datetime.astimezone() gives for a naive value.
# Happens: the module reads the offset of the zone once, at its import, and uses it for each date. Dates on the other side of a change of
#   the clocks are an hour wrong, and which dates these are depends on the day of the last restart. A process that runs through
#   the change keeps the old offset for new timers. With TZ=UTC or Asia/Shanghai there is no difference.
# Where a service desk meets it: a change is planned in February for a window in April, and the workflow waits with a timer. The work
#   begins an hour after the window was opened, or, planned in summer for winter, an hour before it.
# What to do: write each date of a timer with its offset, or calculate it with zoneinfo in the expression of the timer.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SpiffWorkflow==3.2.0 tzdata==2026.6

cat > "$work/timer.py" <<'PY'
import os
from datetime import datetime
from importlib.metadata import version
from zoneinfo import ZoneInfo
from SpiffWorkflow.bpmn.specs.event_definitions.timer import TimerEventDefinition

zone = os.environ["TZ"]
if zone == "UTC":
    print(f"SpiffWorkflow {version('SpiffWorkflow')}")
dates = [f"2027-{month}-15T08:00:00" for month in ("01", "07")]
wrong = []
for date in dates:
    right = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    wrong.append(abs(TimerEventDefinition.parse_time_or_duration(date) - right))
    # With an offset, the instant is right.
    assert TimerEventDefinition.parse_time_or_duration(right.isoformat()) == right
# Which of the two is wrong depends on the date of this run.
print(f"{zone}: timers for 15 January and 15 July, differences: {', '.join(str(difference) for difference in sorted(wrong))}")
PY
for zone in UTC Asia/Shanghai Europe/Berlin America/New_York; do
    TZ=$zone "$work/venv/bin/python" "$work/timer.py"
done | tee "$work/seen"

cat > "$work/expected" <<'OUT'
SpiffWorkflow 3.2.0
UTC: timers for 15 January and 15 July, differences: 0:00:00, 0:00:00
Asia/Shanghai: timers for 15 January and 15 July, differences: 0:00:00, 0:00:00
Europe/Berlin: timers for 15 January and 15 July, differences: 0:00:00, 1:00:00
America/New_York: timers for 15 January and 15 July, differences: 0:00:00, 1:00:00
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
