#!/usr/bin/env bash
# boto3 sends the start date "20261130" as second 20,261,130 since 1970: 23 August 1970.
#
# Expected: a timestamp can be a datetime, a number, or a text in a form of ISO 8601 (parse_timestamp in botocore: "iso8601, rfc822, epoch
#   (value is an integer)"). 20261130 is the basic form of ISO 8601 for 30 November 2026, and the value is a text, not an integer.
# Happens: each text that is a number is taken as seconds since 1970 first. "20261130" and "2026" become instants of 1970. With 14 digits
#   ("20261130000000") the number is too large for a date, and the text is then read as midnight of 30 November 2026. With a T in
#   it ("20261130T080000Z") it is read correctly, too. There is no error and no warning.
# Where a service desk meets it: dates in compact form come from iCalendar, SAP, file names and BASIC_ISO_DATE of Java. The start or the end
#   of a maintenance window, or of a query for metrics, then is in 1970: a range from it covers 56 years, and a range that
#   ends with it is long over. The same program with a full timestamp in the same form is right.
# What to do: pass aware datetime objects only.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.8 botocore==1.44.8 python-dateutil==2.9.0.post0

cat > "$work/schedule.py" <<'PY'
import datetime
import http.server
import json
import threading
import boto3
import botocore

requests = []


class Scheduler(http.server.BaseHTTPRequestHandler):
    """Keeps each request and answers with the name of the schedule."""

    def do_POST(self):
        requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        body = b'{"ScheduleArn": "arn:aws:scheduler:eu-west-1:111122223333:schedule/default/window"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scheduler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = boto3.client(
    "scheduler", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="eu-west-1",
    aws_access_key_id="key", aws_secret_access_key="secret",
)
print(f"boto3 {boto3.__version__}, botocore {botocore.__version__}")
utc = datetime.timezone.utc
for start in [
    datetime.datetime(2026, 11, 30, tzinfo=utc),
    "2026-11-30T00:00:00Z",
    "20261130T000000Z",
    "2026-11-30",
    "20261130000000",
    "20261130",
    "2026",
]:
    client.create_schedule(
        Name="window", ScheduleExpression="rate(1 hour)", StartDate=start,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:sqs:eu-west-1:111122223333:jobs", "RoleArn": "arn:aws:iam::111122223333:role/jobs"},
    )
    seconds = requests[-1]["StartDate"]
    print(f"StartDate={start!r} is sent as {seconds}: {datetime.datetime.fromtimestamp(seconds, utc):%Y-%m-%d %H:%M:%S} UTC")
server.shutdown()
PY
TZ=UTC "$work/venv/bin/python" "$work/schedule.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
boto3 1.44.8, botocore 1.44.8
StartDate=datetime.datetime(2026, 11, 30, 0, 0, tzinfo=datetime.timezone.utc) is sent as 1795996800: 2026-11-30 00:00:00 UTC
StartDate='2026-11-30T00:00:00Z' is sent as 1795996800: 2026-11-30 00:00:00 UTC
StartDate='20261130T000000Z' is sent as 1795996800: 2026-11-30 00:00:00 UTC
StartDate='2026-11-30' is sent as 1795996800: 2026-11-30 00:00:00 UTC
StartDate='20261130000000' is sent as 1795996800: 2026-11-30 00:00:00 UTC
StartDate='20261130' is sent as 20261130: 1970-08-23 12:05:30 UTC
StartDate='2026' is sent as 2026: 1970-01-01 00:33:46 UTC
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
