//! These tests check the ways on which mails arrive: from a relay, from Amazon SES, and from a mailbox. They also check
//! reports about undelivered mails.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::Request;
use functions::app::notifications::definitions::Definitions;
use functions::app::notifications::{inbound, mailboxes};
use infra::clock::Clock as _;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use infra::inbound::sns::fake::{self, Unsigned};
use infra::mailbox::memory::Memory;
use serde_json::{Value, json};

use super::{Channels, DAY_MS, MAIL, MAIL_ONLY, Mailbox, ZHANGSAN, header_of, reply};

/// A report that a mail of the desk could not be delivered.
pub(super) fn report(mail: &str, recipient: &str, status: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example\r\nTo: desk@example.com\r\nMessage-ID: <d{status}@relay.example>\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain\r\n\r\nNot delivered.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; relay.example\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\n\
        Diagnostic-Code: smtp; 550 {status} <{recipient}> refused\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n\
        Message-ID: {}\r\n\r\n--b--\r\n",
        header_of(mail, "Message-ID"),
    )
}

pub(super) async fn delivery(mailbox: &Mailbox) -> Value {
    let shown = mailbox
        .channels
        .get("deliveries?state=failed", "admin")
        .await;
    shown["deliveries"][0].clone()
}

#[tokio::test]
async fn a_report_about_an_undelivered_mail_suppresses_the_address() {
    let mailbox = Mailbox::open().await;
    let (_, mail) = mailbox.notified().await;
    assert_eq!(delivery(&mailbox).await, Value::Null);
    mailbox.answers(&report(&mail, ZHANGSAN, "5.1.1")).await;
    let shown = delivery(&mailbox).await;
    assert_eq!(
        (&shown["state"], &shown["class"], &shown["code"]),
        (
            &json!("bounced"),
            &json!("recipient_invalid"),
            &json!("5.1.1")
        )
    );
    assert!(!shown.to_string().contains(ZHANGSAN), "{shown}");
    let steps = mailbox.channels.why().await;
    let bounced = steps.iter().find(|(event, ..)| event == "delivery.bounced");
    let (_, _, text) = bounced.expect("a step");
    assert!(text.contains("came back"), "{text}");
    mailbox.channels.desk.clock.advance(1_000);
    mailbox.channels.submit().await;
    let shown = mailbox.channels.newest("zhangsan").await;
    assert_eq!(shown["skipped"][0]["reason"], "suppressed", "{shown}");
    assert_eq!(mailbox.channels.desk.mailer.take().len(), 0);
}

#[tokio::test]
async fn a_report_about_another_address_or_a_full_mailbox_suppresses_nothing() {
    for (recipient, status) in [("private@other.example", "5.1.1"), (ZHANGSAN, "5.2.2")] {
        let mailbox = Mailbox::open().await;
        let (_, mail) = mailbox.notified().await;
        mailbox.answers(&report(&mail, recipient, status)).await;
        let shown = delivery(&mailbox).await;
        assert_eq!(
            (&shown["state"], &shown["class"]),
            (&json!("bounced"), &json!("permanent")),
            "{status}"
        );
        mailbox.notified().await;
    }
}

/// An HTTP client for the servers of Amazon SNS. It stores the URLs of all requests.
#[derive(Default)]
struct Sns(Mutex<Vec<String>>);

#[async_trait]
impl HttpClient for Sns {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut urls = self.0.lock().expect("no holder panics");
        urls.push(request.url.clone());
        Ok(HttpResponse::of(200, fake::CERTIFICATE.as_bytes()))
    }
}

/// Sends a message of SNS to the desk, and returns the status of the response.
async fn publish(mailbox: &Mailbox, kind: &str, id: &str, message: &str, age_ms: i64) -> u16 {
    let desk = &mailbox.channels.desk;
    let at = desk.clock.now().plus_ms(-age_ms).0;
    let at = jiff::Timestamp::from_millisecond(at).expect("a time");
    let body = fake::signed(&Unsigned {
        kind,
        id,
        message,
        timestamp: &at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
    });
    let request = Request::builder()
        .method("POST")
        .uri("/callbacks/channels/ses/mail")
        .body(body.to_string().into())
        .unwrap();
    let (status, _) = desk.send(request).await;
    desk.settle().await;
    status.as_u16()
}

#[tokio::test]
async fn ses_reports_bounces_and_forwards_mails_through_sns() {
    let mut mailbox = Mailbox::open().await;
    let server = Arc::new(Sns::default());
    mailbox.channels.desk.app.http = server.clone();
    let keys = mailbox.channels.desk.app.ledger.keys.clone();
    let bounce = |delivery: &str, kind: &str| {
        json!({
            "notificationType": kind,
            "mail": { "headers": [{ "name": "X-Ledgerdesk-Delivery", "value": delivery }] },
            "bounce": { "bounceType": "Permanent", "bounceSubType": "General",
                "bouncedRecipients": [{ "emailAddress": ZHANGSAN }] },
        })
        .to_string()
    };
    assert_eq!(
        publish(&mailbox, "Notification", "m0", "{}", 0).await,
        404,
        "the account has no topic"
    );
    keys.keep_secret("inbound/mail", fake::TOPIC.as_bytes())
        .await
        .unwrap();
    assert_eq!(
        mailbox.forward("From: a@b.example\r\n\r\nx", 0).await,
        404,
        "a topic is no key of a signature"
    );
    let confirmation = publish(&mailbox, "SubscriptionConfirmation", "m1", "confirm", 0).await;
    assert_eq!(confirmation, 200);
    let urls = server.0.lock().unwrap().clone();
    assert_eq!(urls.len(), 2, "{urls:?}");
    assert!(urls[1].contains("Action=ConfirmSubscription"), "{urls:?}");
    let (sn, mail) = mailbox.notified().await;
    let content = reply(&mail, "ses1", ZHANGSAN, "The list is complete.");
    let received = json!({ "notificationType": "Received", "receipt": {}, "content": content });
    let received = received.to_string();
    for _ in 0..2 {
        let status = publish(&mailbox, "Notification", "m2", &received, 0).await;
        assert_eq!(status, 200);
    }
    assert_eq!(mailbox.remarks(&sn).await, ["The list is complete."]);
    let id = header_of(&mail, "X-Ledgerdesk-Delivery");
    let old = publish(
        &mailbox,
        "Notification",
        "m3",
        &bounce(&id, "Bounce"),
        400 * DAY_MS,
    )
    .await;
    assert_eq!(old, 403);
    assert_eq!(delivery(&mailbox).await, Value::Null);
    let status = publish(&mailbox, "Notification", "m4", &bounce(&id, "Bounce"), 0).await;
    assert_eq!(status, 200);
    assert_eq!(delivery(&mailbox).await["state"], "bounced");
    let addresses = mailbox
        .channels
        .get("people/zhangsan/addresses", "zhangsan")
        .await;
    assert!(addresses.to_string().contains("5.1.1"), "{addresses}");
    assert_eq!(server.0.lock().unwrap().len(), 2, "the certificate is kept");
}

#[tokio::test]
async fn an_unreadable_mail_is_kept_and_refused() {
    let mailbox = Mailbox::open().await;
    let head = mailbox.channels.desk.head().await;
    assert_eq!(mailbox.forward("no mail", 0).await, 400);
    let stored = mailbox.channels.desk.head().await;
    assert!(stored > head, "the body is kept");
}

#[tokio::test]
async fn a_mailbox_is_read_at_its_time_and_each_mail_acts_once() {
    let account = "reply_to = \"itsm@example.com\"\n[account.mailbox]\nhost = \"imap.example\"\nuser = \"itsm\"\n";
    let mut channels = Channels::open_with(&[MAIL, account, MAIL_ONLY].concat()).await;
    let server = Arc::new(Memory::default());
    channels.desk.app.mailboxes = server.clone();
    let mailbox = Mailbox { channels };
    mailbox.prefer("zhangsan", "en").await;
    let (sn, mail) = mailbox.notified().await;
    let desk = &mailbox.channels.desk;
    let poll = async || {
        mailboxes::poll(&desk.app).await.expect("a check");
        desk.settle().await;
    };
    poll().await;
    assert_eq!(server.reads(), 0, "the password is missing");
    desk.app
        .ledger
        .keys
        .keep_secret("mailbox/mail", b"secret")
        .await
        .unwrap();
    desk.clock.advance(300_000);
    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        server.add(&reply(&mail, &format!("b{number}"), ZHANGSAN, text));
    }
    server.add("no mail");
    poll().await;
    let mut remarks = mailbox.remarks(&sn).await;
    remarks.sort();
    assert_eq!(remarks, ["one", "three", "two"]);
    let reads = server.reads();
    poll().await;
    assert_eq!(server.reads(), reads, "the time has not come");
    desk.clock.advance(30_000);
    poll().await;
    assert_eq!(server.reads(), reads + 1);
    server.renumber();
    desk.clock.advance(30_000);
    poll().await;
    assert!(server.reads() > reads + 2, "all mails are read again");
    assert_eq!(mailbox.remarks(&sn).await.len(), 3, "each mail acts once");
}

/// The mailbox of a desk that was installed later than its mailbox has many old mails.
#[tokio::test]
async fn the_mails_from_before_a_mailbox_was_defined_stay_unread() {
    let account = "reply_to = \"itsm@example.com\"\n[account.mailbox]\nhost = \"imap.example\"\nuser = \"itsm\"\n";
    let accounts = [MAIL, account, MAIL_ONLY].concat();
    let mut channels = Channels::open_with(&accounts).await;
    let server = Arc::new(Memory::default());
    channels.desk.app.mailboxes = server.clone();
    let keys = channels.desk.app.ledger.keys.clone();
    keys.keep_secret("mailbox/mail", b"secret").await.unwrap();
    let mailbox = Mailbox { channels };
    mailbox.prefer("zhangsan", "en").await;
    let (sn, mail) = mailbox.notified().await;
    let before = mailbox.channels.desk.clock.now().plus_ms(-1);
    for (number, text) in ["old 1", "old 2", "old 3"].into_iter().enumerate() {
        let old = reply(&mail, &format!("o{number}"), ZHANGSAN, text);
        server.add_at(&old, before);
    }
    server.add(&reply(&mail, "n1", ZHANGSAN, "new 1"));
    let poll = async |mailbox: &Mailbox| {
        let desk = &mailbox.channels.desk;
        desk.clock.advance(300_000);
        mailboxes::poll(&desk.app).await.expect("a check");
        desk.settle().await;
    };
    poll(&mailbox).await;
    assert_eq!(mailbox.remarks(&sn).await, ["new 1"]);
    // The place of the last mail is lost, and the server gives new numbers.
    server.renumber();
    server.add(&reply(&mail, "n2", ZHANGSAN, "new 2"));
    let mut channels = mailbox.channels.restart_without_views().await;
    channels.desk.app.mailboxes = server.clone();
    let mailbox = Mailbox { channels };
    poll(&mailbox).await;
    let mut remarks = mailbox.remarks(&sn).await;
    remarks.sort();
    assert_eq!(remarks, ["new 1", "new 2"]);
    let all = accounts.replace("user = \"itsm\"", "user = \"itsm\"\nread_existing = true");
    let definitions = Definitions::read(&all).unwrap();
    definitions.store(&mailbox.channels.desk.app).await.unwrap();
    poll(&mailbox).await;
    assert_eq!(mailbox.remarks(&sn).await.len(), 5, "the old mails, too");
}

/// A mail that cannot be stored would stop its mailbox, because the place of the last mail would never change.
#[tokio::test]
async fn every_mail_of_a_mailbox_can_be_stored() {
    let mailbox = Mailbox::open().await;
    let app = &mailbox.channels.desk.app;
    let mail = |headers: &str, text: &str| {
        format!("From: a@b.example\r\n{headers}Message-ID: <c1@b.example>\r\n\r\n{text}\r\n")
    };
    // JSON needs six bytes for a control character and two bytes for a quotation mark.
    let controls = mail("To: itsm@example.com\r\n", &"\u{1}".repeat(80_000));
    let is_mail = inbound::store_mail(app, "mail", controls.as_bytes()).await;
    assert!(is_mail.expect("it is stored"));
    let numbers = 100..150;
    let to = numbers
        .clone()
        .map(|number| format!("{number}{}@b.example", "t".repeat(230)));
    let to = to.collect::<Vec<_>>().join(",\r\n ");
    let references = numbers.map(|number| format!("<{number}{}@b.example>", "r".repeat(280)));
    let references = references.collect::<Vec<_>>().join("\r\n ");
    let headers = format!("To: {to}\r\nReferences: {references}\r\n");
    let large = mail(&headers, &"\"".repeat(80_000));
    let is_mail = inbound::store_mail(app, "mail", large.as_bytes()).await;
    assert!(!is_mail.expect("its beginning is stored"));
}
