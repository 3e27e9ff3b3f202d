#!/usr/bin/env bash
# Python's EmailMessage writes In-Reply-To and References as encoded words if a message id in them has more than 77 characters.
#
# Expected: a message id is sent as it is, on a line of its own if necessary. RFC 2047 forbids encoded words in message ids, and
#   every character of the id is ASCII. Message-ID itself and the older MIMEText class are sent like that.
# Happens: with the policies `default` and `SMTP`, a word that does not fit into 78 characters is split into =?utf-8?q?...?= parts, also if
#   it is ASCII. Message-ID is exempt, In-Reply-To and References are not. Python's own default reader (message_from_bytes) and
#   imap-tools return the encoded text. mail-parser, postal-mime and Python with policy=default return the id.
# Where a service desk meets it: the ids of Exchange Online often have about 80 characters. A program in Python answers such a mail and
#   sends a copy to the desk. The desk compares In-Reply-To with the ids of its mails, finds nothing, and opens a second ticket.
# What to do: senders use as_bytes(policy=email.policy.SMTP.clone(max_line_length=998)) for such mails. A desk decodes encoded words in
#   In-Reply-To and References, and removes line breaks, before it compares ids.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check imap-tools==1.16.0 mail-parser==4.8.0
npm install --silent --no-audit --no-fund --prefix "$work" postal-mime@4.0.0

cat > "$work/write.py" <<'PY'
import email.policy
import sys
from email.message import EmailMessage
from email.mime.text import MIMEText

SHORT = f"<{'a' * 62}@desk.example>"
LONG = f"<{'a' * 63}@desk.example>"


def written(kind, header, value):
    message = kind()
    message[header] = value
    return f"{header} {'encoded' if '=?' in message.as_string() else 'plain'}"


for name, kind in [("EmailMessage", EmailMessage), ("MIMEText", lambda: MIMEText("text"))]:
    for message_id in [SHORT, LONG]:
        states = [written(kind, header, message_id) for header in ["Message-ID", "In-Reply-To", "References"]]
        print(f"{name}, an id of {len(message_id)} characters: {', '.join(states)}")
message = EmailMessage()
message["In-Reply-To"] = LONG
message.set_content("We restarted the service.")
wide = message.as_bytes(policy=email.policy.SMTP.clone(max_line_length=998))
print(f"EmailMessage, max_line_length=998: In-Reply-To {'encoded' if b'=?' in wide else 'plain'}")
open(sys.argv[1], "wb").write(message.as_bytes(policy=email.policy.SMTP))
PY
cat > "$work/read.py" <<'PY'
import email
import email.policy
import sys
from importlib.metadata import version
import mailparser
from imap_tools import MailMessage

data = open(sys.argv[1], "rb").read()


def show(name, value):
    print(f"{name} reads {len(value.strip())} characters, begins with {value.strip()[:5]}")


show("message_from_bytes", email.message_from_bytes(data)["In-Reply-To"])
show(f"imap-tools {version('imap-tools')}", MailMessage.from_bytes(data).headers["in-reply-to"][0])
show("message_from_bytes, policy=default", email.message_from_bytes(data, policy=email.policy.default)["In-Reply-To"])
show(f"mail-parser {version('mail-parser')}", mailparser.parse_from_bytes(data).in_reply_to)
PY
cat > "$work/read.mjs" <<'JS'
import { readFileSync } from "node:fs";
import PostalMime from "postal-mime";

const manifest = JSON.parse(readFileSync(new URL("node_modules/postal-mime/package.json", import.meta.url)));
const { inReplyTo } = await PostalMime.parse(readFileSync(process.argv[2]));
console.log(`postal-mime ${manifest.version} reads ${inReplyTo.length} characters, begins with ${inReplyTo.slice(0, 5)}`);
JS
{
    "$work/venv/bin/python" "$work/write.py" "$work/mail.eml"
    "$work/venv/bin/python" "$work/read.py" "$work/mail.eml"
    node "$work/read.mjs" "$work/mail.eml"
} | tee "$work/seen"

# Seen with Python 3.11.7.
cat > "$work/expected" <<'OUT'
EmailMessage, an id of 77 characters: Message-ID plain, In-Reply-To plain, References plain
EmailMessage, an id of 78 characters: Message-ID plain, In-Reply-To encoded, References encoded
MIMEText, an id of 77 characters: Message-ID plain, In-Reply-To plain, References plain
MIMEText, an id of 78 characters: Message-ID plain, In-Reply-To plain, References plain
EmailMessage, max_line_length=998: In-Reply-To plain
message_from_bytes reads 113 characters, begins with =?utf
imap-tools 1.16.0 reads 113 characters, begins with =?utf
message_from_bytes, policy=default reads 78 characters, begins with <aaaa
mail-parser 4.8.0 reads 78 characters, begins with <aaaa
postal-mime 4.0.0 reads 78 characters, begins with <aaaa
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
