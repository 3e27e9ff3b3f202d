#!/usr/bin/env bash
# boto3: after an exception in "with table.batch_writer()", the items that were put before it are still written.
#
# Expected: a `with` block that ends with an exception discards its work, as the transactions of Python's database libraries and of
#   redis-py pipelines do: what was not sent is not sent.
# Happens: the writer sends all waiting items at the end of the block, also after an exception. Full batches of 25 were sent before, so all
#   items up to the error are in the table. And if DynamoDB refuses a batch, put_item() raises for the 25th item, but all 25 items of this
#   batch are gone: a program that catches the error of this one item and continues has lost 24 more, without a further error.
# Where a service desk meets it: an import puts the rows of a file and stops at the first wrong row. Half of the file is in the table,
#   although the block failed before the last request. An event that fails in the middle leaves its first items without the others.
# What to do: check all items before the block, or use transact_write_items for items that belong together. Send the whole batch again if
#   put_item() raises.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.8 botocore==1.44.8

cat > "$work/batch.py" <<'PY'
import http.server
import json
import threading
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

written = []
refused = 0


class Table(http.server.BaseHTTPRequestHandler):
    """Answers BatchWriteItem, and refuses as many requests as `refused` has."""

    def do_POST(self):
        global refused
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if refused:
            refused -= 1
            status, response = 400, {"__type": "com.amazon.coral.validate#ValidationException", "message": "too large"}
        else:
            written.extend(int(put["PutRequest"]["Item"]["row"]["N"]) for put in request["RequestItems"]["imports"])
            status, response = 200, {"UnprocessedItems": {}}
        body = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def spans(rows):
    """Returns the first and the last row of each run of rows."""
    runs = []
    for row in sorted(rows):
        if runs and runs[-1][1] == row - 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    return ", ".join(f"{first} to {last}" for first, last in runs) or "none"


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Table)
threading.Thread(target=server.serve_forever, daemon=True).start()
table = boto3.resource(
    "dynamodb", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="eu-west-1",
    aws_access_key_id="key", aws_secret_access_key="secret", config=Config(retries={"max_attempts": 0}),
).Table("imports")
print(f"boto3 {boto3.__version__}")
for wrong in (8, 28):
    written.clear()
    try:
        with table.batch_writer() as batch:
            for row in range(1, 101):
                if row == wrong:
                    raise ValueError("a wrong row")
                batch.put_item(Item={"row": row})
    except ValueError as error:
        print(f"row {wrong} raises {error!r}: rows in the table: {spans(written)}")
written.clear()
refused = 1
with table.batch_writer() as batch:
    for row in range(1, 101):
        try:
            batch.put_item(Item={"row": row})
        except ClientError as error:
            print(f"put_item of row {row} raises {error.response['Error']['Code']}, the loop continues")
print(f"rows in the table: {spans(written)}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/batch.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
boto3 1.44.8
row 8 raises ValueError('a wrong row'): rows in the table: 1 to 7
row 28 raises ValueError('a wrong row'): rows in the table: 1 to 27
put_item of row 25 raises ValidationException, the loop continues
rows in the table: 26 to 100
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
