#!/usr/bin/env python3
"""Makes `dictionary.v1`, the dictionary with which bodies of commits are compressed.

Usage: dictionary.py PROJECT > dictionary.v1

The dictionary is one commit body that holds the samples of events. Deflate refers to the end of a
dictionary with fewer bits, so the most frequent events come last. Samples over MOST bytes are left
out.
A change of the dictionary makes stored bodies unreadable: give the new one its own form number in
`compress.rs`.
"""

import json
import pathlib
import sys

MOST = 700
TOTAL = 6000
LAST = [
    "callback.requested", "callback.succeeded", "idempotency_key.reserved",
    "number_sequence.block_issued", "ticket.finished", "ticket.transition_taken",
    "ticket.vote_cast", "ticket.node_completed", "ticket.node_claimed", "ticket.node_entered",
    "ticket.opened",
]

samples = {}
for path in sorted(pathlib.Path(sys.argv[1], "events/samples").glob("*.json")):
    event = json.loads(path.read_text())
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) <= MOST:
        samples[event["type"]] = text
rare = [text for kind, text in samples.items() if kind not in LAST]
often = [samples[kind] for kind in LAST if kind in samples]
while sum(len(text.encode()) + 1 for text in rare + often) > TOTAL:
    rare.remove(max(rare, key=len))
meta = {
    "actor": "p5d1f0c9ab3e2477810aa6c01", "channel": "api", "app": "bk_log_search",
    "correlation": "0e1f", "causation": "9a3b",
    "user_agent": {"subject": "p5d1f0c9ab3e2477810aa6c01", "sealed": "A"},
}
text = json.dumps(meta, ensure_ascii=False, separators=(",", ":"))
sys.stdout.write('{"meta":' + text + ',"events":[' + ",".join(rare + often) + "]}")
