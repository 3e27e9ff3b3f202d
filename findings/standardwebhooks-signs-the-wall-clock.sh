#!/usr/bin/env bash
# standardwebhooks and svix (PyPI) sign 08:00+08:00 as 08:00 UTC, so a receiver refuses each webhook that is signed with a local time.
#
# Expected: sign() takes a datetime. One instant has one signature, whatever offset the datetime has, and it is the signature for the seconds
#   since 1970 in the header webhook-timestamp.
# Happens: sign() replaces the zone with UTC instead of converting to it. 08:00 at +08:00 is signed as 08:00 at UTC, 8 hours later. A
#   datetime without a zone is also taken as UTC, but its timestamp() takes it as local. The header has the right seconds, because the
#   caller writes it, so verify() answers "No matching signature found". With TZ=UTC the local time is right, so CI does not show it.
#   The npm package takes a Date, which has no offset, and its signature is right.
# Where a service desk meets it: a desk signs its callbacks with the time of the event, and the event has the zone of the site. Each test on
#   a server in UTC passes. In Shanghai each callback is refused, and the error looks like a wrong secret.
# What to do: pass datetime.now(timezone.utc), or instant.astimezone(timezone.utc), to sign().
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0 svix==2.9.1
npm install --silent --no-audit --no-fund --prefix "$work" standardwebhooks@1.1.1

cat > "$work/sign.py" <<'PY'
import datetime
import json
import sys
from importlib.metadata import version
import standardwebhooks
import svix

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
print(f"standardwebhooks {version('standardwebhooks')}, svix {version('svix')} (PyPI)")
now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
times = []
for name, hours in [("UTC", 0), ("+08:00", 8), ("-05:00", -5)]:
    times.append((name, hours, now.astimezone(datetime.timezone(datetime.timedelta(hours=hours)))))
# The process has the zone Asia/Shanghai, so timestamp() of this value is the same instant.
times.append(("without a zone", 8, times[1][2].replace(tzinfo=None)))
signatures = {}
for package, Webhook in [("standardwebhooks", standardwebhooks.Webhook), ("svix", svix.Webhook)]:
    webhook = Webhook(SECRET)
    for name, hours, local in times:
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(local.timestamp())),
            "webhook-signature": webhook.sign("msg_1", local, "{}"),
        }
        later = webhook.sign("msg_1", now + datetime.timedelta(hours=hours), "{}")
        try:
            webhook.verify("{}", headers)
            verdict = "accepted"
        except Exception as error:
            verdict = f"{type(error).__name__}: {error}"
        print(f"{package}, {name}: {verdict}; signed as {hours:+} h: {headers['webhook-signature'] == later}")
        signatures[name] = headers["webhook-signature"]
with open(sys.argv[1], "w") as file:
    json.dump({"secret": SECRET, "seconds": int(now.timestamp()), "utc": signatures["UTC"]}, file)
PY
cat > "$work/sign.cjs" <<'JS'
const { Webhook } = require("standardwebhooks");

const { secret, seconds, utc } = require("./signed.json");
const version = require("./node_modules/standardwebhooks/package.json").version;
const signature = new Webhook(secret).sign("msg_1", new Date(seconds * 1000), "{}");
console.log(`standardwebhooks ${version} (npm) in ${process.env.TZ}: the signature for UTC: ${signature === utc}`);
JS
{
    TZ=Asia/Shanghai "$work/venv/bin/python" "$work/sign.py" "$work/signed.json"
    TZ=Asia/Shanghai node "$work/sign.cjs"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
standardwebhooks 1.1.0, svix 2.9.1 (PyPI)
standardwebhooks, UTC: accepted; signed as +0 h: True
standardwebhooks, +08:00: WebhookVerificationError: No matching signature found; signed as +8 h: True
standardwebhooks, -05:00: WebhookVerificationError: No matching signature found; signed as -5 h: True
standardwebhooks, without a zone: WebhookVerificationError: No matching signature found; signed as +8 h: True
svix, UTC: accepted; signed as +0 h: True
svix, +08:00: WebhookVerificationError: No matching signature found; signed as +8 h: True
svix, -05:00: WebhookVerificationError: No matching signature found; signed as -5 h: True
svix, without a zone: WebhookVerificationError: No matching signature found; signed as +8 h: True
standardwebhooks 1.1.1 (npm) in Asia/Shanghai: the signature for UTC: true
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
