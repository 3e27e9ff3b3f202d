#!/usr/bin/env bash
# sns-validator refuses each UnsubscribeConfirmation of Amazon SNS, because it leaves out one of the signed members.
#
# Expected: the documentation of SNS ("Verifying the signatures of Amazon SNS messages") names the same members for
#   SubscriptionConfirmation and UnsubscribeConfirmation: Message, MessageId, SubscribeURL, Timestamp, Token, TopicArn, Type.
#   The package requires SubscribeURL and Token in both types, so it knows both types.
# Happens: only SubscriptionConfirmation uses this list. For UnsubscribeConfirmation, the package uses the list of Notification with
#   SubscribeURL and without Token. The text differs from the signed text, so the signature is always "invalid".
# Where a service desk meets it: a person deletes the subscription of the bounces. SNS reports this once. A receiver that answers 403 to
#   invalid messages drops the report as a forgery, and from then on no bounce arrives, and no address is suppressed.
# What to do: check this type with a text of your own (the members above), and inform an operator about it.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" sns-validator@0.3.5
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=sns.amazonaws.com -days 2 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

cat > "$work/check.js" <<'JS'
const { EventEmitter } = require("node:events");
const { readFileSync } = require("node:fs");
const crypto = require("node:crypto");
const work = process.argv[2];
// The package gets the certificate over HTTPS. Here it gets the certificate of this script.
require("https").get = (url, done) => {
  const response = new EventEmitter();
  response.statusCode = 200;
  done(response);
  response.emit("data", readFileSync(`${work}/cert.pem`));
  response.emit("end");
  return new EventEmitter();
};
const Validator = require("sns-validator");
const documented = {
  Notification: ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
  SubscriptionConfirmation: ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
  UnsubscribeConfirmation: ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
};
console.log(`sns-validator ${require("sns-validator/package.json").version}`);
for (const [type, members] of Object.entries(documented)) {
  const message = {
    Type: type, MessageId: "m-1", TopicArn: "arn:aws:sns:eu-west-1:123456789012:bounces", Message: "text",
    Timestamp: "2026-11-30T00:53:20.000Z", SignatureVersion: "2",
    SigningCertURL: "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
  };
  if (type !== "Notification") {
    message.Token = "token";
    message.SubscribeURL = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=token";
  }
  const text = members.filter((name) => name in message).map((name) => `${name}\n${message[name]}\n`).join("");
  message.Signature = crypto.sign("RSA-SHA256", Buffer.from(text), readFileSync(`${work}/key.pem`)).toString("base64");
  new Validator().validate(message, (error) => {
    console.log(`${type}: ${error ? error.message : "valid"}`);
  });
}
JS
(cd "$work" && node check.js "$work") | tee "$work/seen"

cat > "$work/expected" <<'OUT'
sns-validator 0.3.5
Notification: valid
SubscriptionConfirmation: valid
UnsubscribeConfirmation: The message signature is invalid.
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
