#!/usr/bin/env bash
# imap-tools and mail-parser (PyPI) add the text of an ATTACHED mail to the text of the mail, without a mark between the two.
#
# Expected: a mail with a part message/rfc822 has one text, its own. The attached mail is an attachment, even with "Content-Disposition:
#   attachment". Python's get_body() and mailparser (npm) return only the own text.
# Happens: both libraries walk through all parts, also into the attached mail. MailMessage.text of imap-tools joins the two texts directly,
#   and mail-parser has the second text as one more element of text_plain. The files of the attached mail are attachments of
#   the outer one. A delivery report gets the text of the returned mail.
# Where a service desk meets it: a person attaches an old mail with the words "please close the ticket" or with a ticket number. The text
#   looks as if this person wrote it now. A bounce repeats the desk's own mail as a comment of the mail system.
# What to do: email.message_from_bytes(data, policy=email.policy.default).get_body(("plain",)), and iter_attachments() for the rest.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check imap-tools==1.16.0 mail-parser==4.8.0
npm install --silent --no-audit --no-fund --prefix "$work" mailparser@3.14.2

cat > "$work/read.py" <<'PY'
import email
import email.policy
import json
import sys
from email.message import EmailMessage
from importlib.metadata import version
import imap_tools
import mailparser


def mail(sender, to, subject, text):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text)
    return message


def shown(values):
    return json.dumps(values, ensure_ascii=False)


old = mail("boss@desk.example", "lisi@desk.example", "[INC-7] old", "Please close the ticket.")
old.add_attachment("a,b\n", subtype="csv", filename="old.csv")
forwarded = mail("lisi@desk.example", "it@desk.example", "See the attached mail", "It still does not work.")
forwarded.add_attachment(old, filename="old.eml")

bounce = mail("mailer@relay.example", "it@desk.example", "Undelivered", "Your mail could not be delivered.")
bounce.make_mixed()
bounce.add_attachment(mail("it@desk.example", "gone@desk.example", "[INC-8] new", "Your ticket was received."))
del bounce.get_payload(1)["Content-Disposition"]

print(f"imap-tools {version('imap-tools')}, mail-parser {version('mail-parser')}, Python email")
for name, message in [("forwarded", forwarded), ("bounce", bounce)]:
    data = message.as_bytes(policy=email.policy.SMTP)
    with open(f"{sys.argv[1]}/{name}.eml", "wb") as file:
        file.write(data)
    tools = imap_tools.MailMessage.from_bytes(data)
    parsed = mailparser.parse_from_bytes(data)
    standard = email.message_from_bytes(data, policy=email.policy.default)
    files = [part.get_content_type() for part in standard.iter_attachments()]
    print(f"{name}: imap-tools {shown(tools.text)}, attachments {shown([one.content_type for one in tools.attachments])}")
    print(f"  mail-parser {shown(parsed.text_plain)}, attachments {shown([one['mail_content_type'] for one in parsed.attachments])}")
    print(f"  Python email {shown(standard.get_body(('plain',)).get_content())}, attachments {shown(files)}")
PY
cat > "$work/read.cjs" <<'JS'
const { readFileSync } = require("node:fs");
const { simpleParser } = require("mailparser");

(async () => {
  const { version } = require("./node_modules/mailparser/package.json");
  console.log(`mailparser (npm) ${version}`);
  for (const name of ["forwarded", "bounce"]) {
    const mail = await simpleParser(readFileSync(`${__dirname}/${name}.eml`));
    const files = mail.attachments.map((one) => one.contentType);
    console.log(`${name}: ${JSON.stringify(mail.text)}, attachments ${JSON.stringify(files)}`);
  }
})();
JS
{
    PYTHONIOENCODING=utf-8 "$work/venv/bin/python" "$work/read.py" "$work"
    node "$work/read.cjs"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
imap-tools 1.16.0, mail-parser 4.8.0, Python email
forwarded: imap-tools "It still does not work.\r\nPlease close the ticket.\r\n", attachments ["message/rfc822", "text/csv"]
  mail-parser ["It still does not work.\r\n", "Please close the ticket.\r\n"], attachments ["message/rfc822", "text/csv"]
  Python email "It still does not work.\r\n", attachments ["message/rfc822"]
bounce: imap-tools "Your mail could not be delivered.\r\nYour ticket was received.\r\n", attachments ["message/rfc822"]
  mail-parser ["Your mail could not be delivered.\r\n", "Your ticket was received.\r\n"], attachments []
  Python email "Your mail could not be delivered.\r\n", attachments ["message/rfc822"]
mailparser (npm) 3.14.2
forwarded: "It still does not work.\n", attachments ["message/rfc822"]
bounce: "Your mail could not be delivered.\n", attachments ["message/rfc822"]
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
