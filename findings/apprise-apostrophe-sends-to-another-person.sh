#!/usr/bin/env bash
# apprise sends the mail for o'brien@example.com to brien@example.com, a different person, and returns True.
#
# Expected: an apostrophe is an ordinary character of an address (RFC 5322, 3.2.3: atext), as the ampersand, the slash and the plus sign
#   are. The recipient of the message is o'brien@example.com. An address that the library cannot use makes the result False.
# Happens: the pattern of an address allows a name before it without a separator, and it ends the name at the apostrophe. So "o" becomes the
#   name and "brien@example.com" the address, in `to`, in `cc` and in the path of the URL. The URL that url() returns has the other
#   address, too. The separate function parse_emails() keeps the whole address. The plugins for SendGrid, Mailgun and Amazon SES
#   have the same result.
# Where a service desk meets it: O'Brien, D'Angelo and N'Diaye are names of people, and directories build addresses from them. The alarm
#   goes to another mailbox of the same company or to none, the person gets nothing, and the log of the sender shows a success.
# What to do: compare the `targets` of the object with the recipients before the first send, or send such mails with smtplib.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check apprise==2.3.0

cat > "$work/send.py" <<'PY'
import logging
import socketserver
import threading
from urllib.parse import quote
import apprise
from apprise.utils.parse import parse_emails

logging.disable(logging.CRITICAL)
recipients = []


class Relay(socketserver.StreamRequestHandler):
    """Accepts each mail and keeps its recipients."""

    def handle(self):
        self.wfile.write(b"220 relay\r\n")
        for line in self.rfile:
            command = line.strip().lower()
            if command.startswith(b"rcpt to:"):
                recipients.append(command[8:].strip(b"<>").decode())
            if command == b"data":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() != b".\r\n":
                    pass
            self.wfile.write(b"221 bye\r\n" if command == b"quit" else b"250 OK\r\n")


relay = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
threading.Thread(target=relay.serve_forever, daemon=True).start()
port = relay.server_address[1]
print(f"apprise {apprise.__version__}")
print("parse_emails:", parse_emails("lisi@example.com, o'brien@example.com"))
url = f"mailto://127.0.0.1:{port}?from=desk@example.com"
for to, cc in [
    ("r&d@example.com", ""),
    ("lisi/night+1@example.com", ""),
    ("o'brien@example.com", ""),
    ("lisi@example.com,d'angelo@example.com", ""),
    ("lisi@example.com", "n'diaye@example.com"),
]:
    recipients.clear()
    sender = apprise.Apprise()
    sender.add(f"{url}&to={quote(to)}&cc={quote(cc)}")
    sent = sender.notify(title="INC-000001", body="The printer is broken.")
    print(f"to {to}{cc and ', cc ' + cc}: notify() is {bool(sent)}, recipients: {', '.join(sorted(recipients))}")
relay.shutdown()
for service in [
    "sendgrid://abcdef:desk@example.com",
    "mailgun://desk@example.com/abcdef",
    "ses://desk@example.com/key/secret/eu-west-1",
]:
    targets = apprise.Apprise.instantiate(f"{service}/" + quote("o'brien@example.com")).targets
    print(f"{service.split(':')[0]}: {targets}")
PY
"$work/venv/bin/python" "$work/send.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
apprise 2.3.0
parse_emails: ['lisi@example.com', "o'brien@example.com"]
to r&d@example.com: notify() is True, recipients: r&d@example.com
to lisi/night+1@example.com: notify() is True, recipients: lisi/night+1@example.com
to o'brien@example.com: notify() is True, recipients: brien@example.com
to lisi@example.com,d'angelo@example.com: notify() is True, recipients: angelo@example.com, lisi@example.com
to lisi@example.com, cc n'diaye@example.com: notify() is True, recipients: diaye@example.com, lisi@example.com
sendgrid: ['brien@example.com']
mailgun: [('o', 'brien@example.com')]
ses: [('o', 'brien@example.com')]
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
