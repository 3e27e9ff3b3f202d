#!/usr/bin/env bash
# httpx-sse (PyPI) turns each comment that a server sends as a heartbeat into an event "message" without data, after the first event with an id.
#
# Expected: the HTML standard (9.2.6, "dispatch the event") passes no event to the program if the data buffer is empty. A block with only a
#   comment, or with only an id, is therefore no event. sseclient-py and the EventSource of browsers follow this rule.
# Happens: the decoder drops an empty block only if it has no event name, no data, no retry and no id. It keeps the id of the last event, as the
#   standard demands, and so every later comment of the server yields an event. `json()` of this event raises JSONDecodeError.
# Where a service desk meets it: a client reads the changes of an inbox. The program works in every test, and stops at the first heartbeat of a
#   quiet inbox, 15 seconds after the first notification.
# What to do: skip events without data in the client. A server sends its heartbeat as a named event with data, not as a comment.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 httpx-sse==0.4.3 sseclient-py==1.9.0

cat > "$work/heartbeats.py" <<'PY'
import httpx
import httpx_sse
import sseclient

STREAM = b": heartbeat\n\nid: 1\nevent: change\ndata: {}\n\n: heartbeat\n\nid: 2\n\n"


def answer(_request):
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=STREAM)


with httpx.Client(transport=httpx.MockTransport(answer)) as client:
    with httpx_sse.connect_sse(client, "GET", "http://desk.example/events") as source:
        for event in source.iter_sse():
            print("httpx-sse", event.id, event.event, repr(event.data))
for event in sseclient.SSEClient(iter([STREAM])).events():
    print("sseclient-py", event.id, event.event, repr(event.data))
PY
"$work/venv/bin/python" "$work/heartbeats.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
httpx-sse 1 change '{}'
httpx-sse 1 message ''
httpx-sse 2 message ''
sseclient-py 1 change '{}'
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
