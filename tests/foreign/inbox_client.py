"""Reads the server-sent events of an inbox with httpx-sse, and connects again after each lost connection.

Arguments: the address of the desk, code and secret of an app, the user, the number of changes after which the client ends.
Prints one JSON object for each event.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

BASE, CODE, SECRET, USER, COUNT = sys.argv[1:]
# The server sends a heartbeat every 15 seconds.
TIMEOUT = httpx.Timeout(10, read=60)


def main() -> None:
    last, left = "", int(COUNT)
    with httpx.Client(auth=(CODE, SECRET), timeout=TIMEOUT) as client:
        while left:
            headers = {"X-On-Behalf-Of": USER}
            if last:
                headers["Last-Event-ID"] = last
            try:
                with connect_sse(client, "GET", f"{BASE}/v1/inbox/{USER}/events", headers=headers) as source:
                    source.response.raise_for_status()
                    for event in source.iter_sse():
                        last = event.id
                        shown = {"name": event.event, "id": int(event.id), "data": event.json()}
                        print(json.dumps(shown), flush=True)
                        left -= event.event == "notification"
                        if not left:
                            return
            except httpx.HTTPError as error:
                print(json.dumps({"name": "lost", "reason": str(error)}), flush=True)
            time.sleep(0.2)


main()
