#!/usr/bin/env python3
"""Checks that the tests have seen a successful response of every operation of the API /v1.

Each response that the helpers of the tests compare with docs/openapi.json is a line of the file in the variable
LEDGERDESK_DESCRIBED: method, path and status. Argument: this file. Prints the operations without a successful response
and ends with 1 if there are any.
"""

import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
paths = json.loads((root / "docs/openapi.json").read_text())["paths"]
operations = {
    (method.upper(), path) for path, methods in paths.items() if path.startswith("/v1/") for method in methods
}
lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
seen = {(method, path) for method, path, status in map(str.split, lines) if status.startswith("2")}
unseen = sorted(operations - seen)
for method, path in unseen:
    print(f"no test has a successful response of {method} {path}")
print(f"{len(lines)} responses of /v1 compared with docs/openapi.json; {len(operations & seen)} of {len(operations)} operations were successful")
sys.exit(1 if unseen else 0)
