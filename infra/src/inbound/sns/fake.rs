//! Signs messages as Amazon SNS does, for tests. The key is public, so a certificate at an address of Amazon never
//! has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::text_to_sign;

/// The address of the certificate in the messages.
pub const CERTIFICATE_URL: &str =
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-test.pem";
/// The topic of the messages.
pub const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:desk";
/// The certificate with the public key of the test. It is valid from 2020 to 2119.
pub const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIICyDCCAbCgAwIBAgIBATANBgkqhkiG9w0BAQsFADAcMRowGAYDVQQDDBFzbnMu\n\
YW1hem9uYXdzLmNvbTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFow\n\
HDEaMBgGA1UEAwwRc25zLmFtYXpvbmF3cy5jb20wggEiMA0GCSqGSIb3DQEBAQUA\n\
A4IBDwAwggEKAoIBAQC1MTE2MlREBjPNCM1pJyCSFcVhGq35wKyGzdJYGoVdVvks\n\
qr+/pelzMtb50RF/7yOTZ1t5/j1cJWg3LOZ0Ze+ogBni/Ji9+BoNoyJJN6XaGTx6\n\
64wJ112BP7blZv6g/+T0kKbQPRd0CUEUDgCE9wYX9wd+Yi+LO9c/HiAfzPppeq8I\n\
1GdGDb98+NOsMEB1334a3O2kcqoFPNeNlYj0PLp1MJ37nj7PcUFFXHk4N4aN103s\n\
Qprs0MWfObfM39LgNwbxXEuVymLyH8Vs9AJH2ixh6C3SS2nQHMFapXDSPALIXtBK\n\
BmLWdcOsFqvYVSTn000QBGjZIqVQyT7d/biR1E2bAgMBAAGjEzARMA8GA1UdEwEB\n\
/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAEk8gjS82gElAbo7yVRZxgGZomS2\n\
YmOVZL1V3EstKVpybvGoZTArcUgeNlemNpyUFrsW8IExKW4FRVLo050QytMHKJ4O\n\
dl7cwPW6m8vb4ZcAA53V5bwcQoZQRh+ItL0k2Cyh/8xMJ0ozKgCYkQPpUv+wAEXJ\n\
nHJ6QLbgSo0hir3+Cw9iv7pX2/UF+Nxz6MNcJC5FkBf7+RC6v8wvQCQKOR5pmfVQ\n\
44i5QDcT2Zo5+9lyXGCQP9D67fj5Z/gjHuNiYkQXpovGpIy+7WjOcfFSvUqzlmqe\n\
s+zLHEtS8NC+JnEvHF6T8XbYaWwnM8JsqZUW/nn1a5gMqyDb7K2rRYiS7+E=\n\
-----END CERTIFICATE-----\n\
";
/// The private key of the test in the form PKCS#8, in Base64.
const KEY: &str = "\
    MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQC1MTE2MlREBjPNCM1pJyCSFcVhGq35wKyGzdJYGoVdVvks\
    qr+/pelzMtb50RF/7yOTZ1t5/j1cJWg3LOZ0Ze+ogBni/Ji9+BoNoyJJN6XaGTx664wJ112BP7blZv6g/+T0kKbQPRd0CUEU\
    DgCE9wYX9wd+Yi+LO9c/HiAfzPppeq8I1GdGDb98+NOsMEB1334a3O2kcqoFPNeNlYj0PLp1MJ37nj7PcUFFXHk4N4aN103s\
    Qprs0MWfObfM39LgNwbxXEuVymLyH8Vs9AJH2ixh6C3SS2nQHMFapXDSPALIXtBKBmLWdcOsFqvYVSTn000QBGjZIqVQyT7d\
    /biR1E2bAgMBAAECggEATJIS0Wv4d1zFpFadc9wQpBumM3CSaBK39inhw9DFXlokZ+9qpANpwgCQn7bt9coqFx9dJZM+/ANk\
    5LhJVZREcMld5zJHHDTOUcgIc7ecE6yJhgqnvfrw7W9vC8f4QDKT35SHokXG9Qb6JQ77wjUgMp124b59iBIMVwSUn8vAYTU6\
    uJaJk/smA1ggxpY/5gFLXl7/bNlh9pPDKX3MhSjQJjSeAyuzk7RhLeSAVGYQTRYU2/DJk/2t2bkwNcpa0GoeJvbAcMVLbLmp\
    OGM8l2KgaEzh8iQpNA1C52P4Pn7PFX0KJXi4mxwErU6kNVHWrzDpGtZflSx8DL4B74sVdzPBTQKBgQD7EYVt7R+bKF0KCu6r\
    3/S7lX9dY43bp3S2X6a6s1kGoCX6IfRe4+JnSr37iCn5+klfelMQK1C++NrPJakSGTWYe5cb/9KcrpLHVIyVSggR0nODn17V\
    FACiC1RmWNmS1LJAdalewRDh0xCDtoT4r3q/gtin1TRLPiPvkqluODDvHQKBgQC4wE2qH0lT8XZ3Y7tk+Ho2sLHvLzVWDzvr\
    UN+H6DlRAHbpDFMWGLGfHClicZsLgB3erPeaITCXAADgY8mWd8pb22NjHz+UcR6sX8lRZO24Yxpyesf7t8skN3cXDNM+JoCU\
    oaHdUrHsUnXrFtO1Un6a7c+GNpH+m4VrHvhYsXd6FwKBgEgm5uOKa7TZSrOiJKj8OYbXFb0u6Qug+ieXIYEyHXmL+J4DuAi1\
    ENGCZ0qr/PQ7+24W51wUNqZLOgah2g67c+2YRvri8BHbEY97OtOEbQFCK7Q9zrEJiI0JGH45Nn295mQj7EKw1TswvuQ7Rcd6\
    FpqG7eB9owOkngsxaMOmHln5AoGBAKe2gopN7n4Sc4177rCBVEhzbIOJomxmVemPN+wjJmze9BMpCf/EGPIsWXExWiM9gWAU\
    Oo0jVf2tlh4c1/IM+pkadoWT5160tbibF6EY8yfwZyDHTuW1+eX9p9E35kfEIfNLKypEGJpEXSE1TqiKo7225i2bOjscKSiO\
    K7owGBqvAoGBAJMkPtrCZ/RL3pU5EWv0vvW3r1wYmw5Gh4A1RuAkwyMNVzJvNkW9rr+WH8dOtcO1U8jbC7lksOa+xrDjPVSj\
    DXvtU/xni5mKEC6jbHfqP3jL9PfEvF1ulsM368jmQA6HN1W/qH/TlpeMrZQR6QsijFmjTG7IBFj+gCJrYf11bl8e";

/// One message before it is signed.
#[derive(Clone, Debug)]
pub struct Unsigned<'a> {
    /// `Notification`, `SubscriptionConfirmation` or `UnsubscribeConfirmation`.
    pub kind: &'a str,
    pub id: &'a str,
    pub message: &'a str,
    /// The time of the message, such as `2026-11-22T01:00:00.000Z`.
    pub timestamp: &'a str,
}

/// Returns the body of a request of Amazon SNS with a signature of version 2 (SHA-256).
pub fn signed(unsigned: &Unsigned<'_>) -> Value {
    let mut body = json!({
        "Type": unsigned.kind,
        "MessageId": unsigned.id,
        "TopicArn": TOPIC,
        "Message": unsigned.message,
        "Timestamp": unsigned.timestamp,
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
    });
    if unsigned.kind == "Notification" {
        body["UnsubscribeURL"] =
            "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn".into();
    } else {
        body["Token"] = "token-of-the-subscription".into();
        body["SubscribeURL"] =
            "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t".into();
    }
    let members = body.as_object().expect("an object");
    let text = text_to_sign(members).expect("a complete message");
    body["Signature"] = STANDARD.encode(signature(text.as_bytes())).into();
    body
}

fn signature(text: &[u8]) -> Vec<u8> {
    let key = STANDARD.decode(KEY).expect("Base64");
    let key = RsaKeyPair::from_pkcs8(&key).expect("an RSA key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text,
        &mut signature,
    )
    .expect("a signature");
    signature
}
