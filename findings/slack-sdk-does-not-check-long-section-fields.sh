#!/usr/bin/env bash
# slack_sdk checks most limits of Block Kit before a send, but not the 2,000 characters of a section field and not equal action ids.
#
# Expected: the classes of slack_sdk.models.blocks raise SlackObjectFormationError for a block that Slack refuses. A block that passes
#   validate_json() and to_dict() has no invalid length, number or id.
# Happens: the text of a section (3,000), a header (150), the text of a button (75), its value (2,000), the NUMBER of fields (10) and of
#   elements (25) are checked. These pass: a field of 2,001 characters, two buttons with one action_id, a block without elements, and an
#   empty text in a context. In addition, validate_json() of a block does not look at its elements: a button value of 2,001 characters is
#   found by to_dict() only. Slack answers invalid_blocks, and the whole message is lost.
# Where a service desk meets it: a notification shows the fields of a ticket as section fields. It works until a field has a long log, and
#   a program that validates blocks when a template is saved accepts a button that cannot be sent.
# What to do: cut each field at 2,000 characters yourself, number the action ids, omit empty blocks, and check with to_dict().
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check slack_sdk==3.47.0

cat > "$work/limits.py" <<'PY'
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock
from slack_sdk.version import __version__


def button(action_id="claim", text="Claim", value="INC-001234"):
    return ButtonElement(action_id=action_id, text=text, value=value)


def state(check):
    try:
        check()
        return "passes"
    except SlackObjectFormationError:
        return "refused"


print(f"slack_sdk {__version__}")
for name, block in [
    ("section text of 3,001 characters", SectionBlock(text="x" * 3001)),
    ("header of 151 characters", HeaderBlock(text="x" * 151)),
    ("11 section fields", SectionBlock(fields=["x"] * 11)),
    ("26 buttons", ActionsBlock(elements=[button(action_id=str(number)) for number in range(26)])),
    ("button text of 76 characters", ActionsBlock(elements=[button(text="x" * 76)])),
    ("button value of 2,001 characters", ActionsBlock(elements=[button(value="x" * 2001)])),
    ("section field of 2,001 characters", SectionBlock(fields=["x" * 2001])),
    ("two buttons with one action_id", ActionsBlock(elements=[button(), button()])),
    ("actions without elements", ActionsBlock(elements=[])),
    ("empty text in a context", ContextBlock(elements=[MarkdownTextObject(text="")])),
]:
    print(f"{name}: validate_json {state(block.validate_json)}, to_dict {state(block.to_dict)}")
PY
"$work/venv/bin/python" "$work/limits.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
slack_sdk 3.47.0
section text of 3,001 characters: validate_json refused, to_dict refused
header of 151 characters: validate_json refused, to_dict refused
11 section fields: validate_json refused, to_dict refused
26 buttons: validate_json refused, to_dict refused
button text of 76 characters: validate_json passes, to_dict refused
button value of 2,001 characters: validate_json passes, to_dict refused
section field of 2,001 characters: validate_json passes, to_dict passes
two buttons with one action_id: validate_json passes, to_dict passes
actions without elements: validate_json passes, to_dict passes
empty text in a context: validate_json passes, to_dict passes
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
