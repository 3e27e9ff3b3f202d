//! Tests for messages of Amazon SES.

use serde_json::{Value, json};

use super::super::sns::fake::{self, Unsigned};
use super::super::verify;
use super::*;

const AT: Moment = Moment(1_796_000_000_000);
const DELIVERY: &str = "0123456789abcdef0123456789abcdef";
const TAG: &str = "fedcba98765432100123";
/// The signature of version 1 (SHA-1) of a notification with the message `{}`, made with OpenSSL.
const OF_VERSION_1: &str = "\
    Vqb0DmSVKBg9SKZ6/dDRoUHLRANwzsi+DHuiQIk1sbbs346O7Tqa5qTgIJ6CY6NIt5b1t3nI3KMuLTplfqOsrsl3pgrc10Xf\
    8MR7aCb3igIDZk1qCdppVggxL0s/4ooqviiIvi6WpJVHh1D2Nh7ZaoyUY73ycP2heYIjnNrgheGCtmSlS5ib6dBzD6xdakum\
    u7aF+eNHVMNyTx1wnOUly9XFAUzVmmw09J4AsTBWuw7dVo16WiyaR9cvTpNc7Bsi6Y9RglI8X7N/GCVwBbr+KdQXRp3mSqgC\
    8LNNF+AI1BjHCglmkVrQfOhI5V3dMCTneJFc2/gwn3LqtHaegwtS7g==";

fn body(kind: &str, message: &str) -> Value {
    fake::signed(&Unsigned {
        kind,
        id: "m-1",
        message,
        timestamp: "2026-11-30T00:53:20.000Z",
    })
}

fn check(body: &Value, topic: &str, later_ms: i64) -> Result<Verified, Refusal> {
    let body = body.to_string();
    let request = Request {
        is_get: false,
        url: "",
        headers: &[],
        query: &[],
        body: body.as_bytes(),
        certificate: Some(fake::CERTIFICATE),
    };
    let topics = [topic.to_owned()];
    Ses.certificate_url(&request, &topics)?;
    verify(&Ses, &request, &topics, AT.plus_ms(later_ms))
}

fn mail(body: &Value) -> Mail {
    match check(body, fake::TOPIC, 0) {
        Ok(Verified::Mail(mail)) => *mail,
        other => panic!("{other:?}"),
    }
}

fn report(message: &Value) -> Report {
    let mail = mail(&body("Notification", &message.to_string()));
    assert!(mail.automatic.is_some());
    assert_eq!(mail.reports.len(), 1);
    mail.reports[0].clone()
}

#[test]
fn a_bounce_and_a_complaint_are_reports_about_the_delivery() {
    let about = json!({
        "messageId": "ses-1",
        "headers": [{ "name": "X-Ledgerdesk-Delivery", "value": format!("{DELIVERY}.{TAG}") }],
    });
    let bounce = json!({
        "notificationType": "Bounce", "mail": about,
        "bounce": { "bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [
            { "emailAddress": "lisi@example.com", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 unknown" }] },
    });
    let expected = Report {
        delivery: DELIVERY.into(),
        tag: TAG.into(),
        recipient: "lisi@example.com".into(),
        kind: ReportKind::Failed,
        status: "5.1.1".into(),
        reason: "smtp; 550 5.1.1 unknown".into(),
    };
    assert_eq!(report(&bounce), expected);
    let complaint = json!({
        "eventType": "Complaint",
        "mail": { "commonHeaders": { "messageId": format!("<{DELIVERY}@example.com>") } },
        "complaint": { "complainedRecipients": [{ "emailAddress": "lisi@example.com" }], "complaintFeedbackType": "abuse" },
    });
    let found = report(&complaint);
    assert_eq!(
        (found.kind, found.reason.as_str()),
        (ReportKind::Complaint, "SES complaint: abuse")
    );
    assert_eq!(
        (found.delivery.as_str(), found.tag.as_str()),
        (DELIVERY, "")
    );
    let other = json!({ "notificationType": "Delivery", "mail": about });
    let other = body("Notification", &other.to_string());
    assert_eq!(check(&other, fake::TOPIC, 0), Ok(Verified::Nothing));
}

#[test]
fn a_mail_has_the_verdicts_of_ses_and_not_those_of_its_headers() {
    let message = |verdict: &str, spam: &str| {
        json!({
            "notificationType": "Received",
            "mail": { "source": "lisi@Bounces.example.com" },
            "receipt": { "dmarcVerdict": { "status": verdict }, "spamVerdict": { "status": spam }, "spfVerdict": { "status": "PASS" } },
            "content": "From: lisi@example.com\r\nTo: itsm@desk.example\r\nMessage-ID: <1@example.com>\r\n\
                Authentication-Results: amazonses.com; dmarc=pass header.from=example.com\r\n\r\nack\r\n",
        })
    };
    let read = |verdict, spam| mail(&body("Notification", &message(verdict, spam).to_string()));
    let proven =
        |mail: &Mail| super::super::mail::is_proven(&mail.checked, SERVER, "dmarc", &mail.from);
    let passed = read("PASS", "PASS");
    assert!(proven(&passed) && passed.automatic.is_none());
    assert!(!proven(&read("FAIL", "PASS")));
    let spf = &passed.checked[1];
    assert_eq!(
        (spf.method.as_str(), spf.domain.as_str()),
        ("spf", "bounces.example.com")
    );
    assert!(spf.is_passed);
    assert!(read("PASS", "FAIL").automatic.is_some());
}

#[test]
fn a_subscription_is_confirmed_at_an_address_of_sns() {
    let found = check(&body("SubscriptionConfirmation", "confirm"), fake::TOPIC, 0);
    let url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t";
    assert_eq!(found, Ok(Verified::Confirmation(url.to_owned())));
    let ended = check(&body("UnsubscribeConfirmation", "ended"), fake::TOPIC, 0);
    assert_eq!(ended, Ok(Verified::Ended));
}

#[test]
fn both_versions_of_the_signature_are_checked() {
    let mut old = body("Notification", "{}");
    assert_eq!(check(&old, fake::TOPIC, 0), Ok(Verified::Nothing));
    old["SignatureVersion"] = "1".into();
    assert_eq!(check(&old, fake::TOPIC, 0), Err(Refusal::Signature));
    old["Signature"] = OF_VERSION_1.into();
    assert_eq!(check(&old, fake::TOPIC, 0), Ok(Verified::Nothing));
    old["SignatureVersion"] = "3".into();
    assert_eq!(check(&old, fake::TOPIC, 0), Err(Refusal::Signature));
}

#[test]
fn forged_and_old_messages_are_refused() {
    let valid = body("Notification", "{}");
    let changed = |key: &str, value: &str| {
        let mut body = valid.clone();
        body[key] = value.into();
        body
    };
    let day = 86_400_000;
    assert_eq!(
        check(&valid, fake::TOPIC, 400 * day),
        Err(Refusal::Stale(3_600))
    );
    assert_eq!(
        check(&valid, fake::TOPIC, -3_600_001),
        Err(Refusal::Stale(3_600))
    );
    assert_eq!(
        check(&valid, "arn:aws:sns:eu-west-1:1:other", 0),
        Err(Refusal::Token)
    );
    for (key, value) in [
        ("Message", "{ }"),
        ("MessageId", "m-2"),
        ("Timestamp", "2026-11-30T00:53:21.000Z"),
        ("Subject", "added"),
        ("Signature", "AAAA"),
        ("Signature", "not base64!"),
    ] {
        let result = check(&changed(key, value), fake::TOPIC, 0);
        assert_eq!(result, Err(Refusal::Signature), "{key}");
    }
    for url in [
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
        "https://sns.evil.example/a.pem",
        "https://sns..amazonaws.com/a.pem",
        "https://sns.a.b.amazonaws.com/a.pem",
        "https://s3.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.txt",
        "https://sns.eu-west-1.amazonaws.com/a.pem?x=1",
        "",
    ] {
        let result = check(&changed("SigningCertURL", url), fake::TOPIC, 0);
        assert!(
            matches!(result, Err(Refusal::Certificate(_))),
            "{url}: {result:?}"
        );
    }
    for kind in ["Notification", "SubscriptionConfirmation"] {
        let mut body = body(kind, "{}");
        body.as_object_mut().expect("an object").remove("MessageId");
        let result = check(&body, fake::TOPIC, 0);
        assert!(matches!(result, Err(Refusal::Malformed(_))), "{result:?}");
    }
    // The certificate of the test ends in the year 2120.
    let late = check(&valid, fake::TOPIC, 36_500 * day);
    assert!(matches!(late, Err(Refusal::Certificate(_))), "{late:?}");
}
