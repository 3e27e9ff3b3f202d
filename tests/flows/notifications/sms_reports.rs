//! These tests check what follows when a gateway accepted a short message and later reports that the person did not get it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use ring::hmac;
use serde_json::json;

use super::{Channels, MAIL};

const ADDRESS: &str = "http://127.0.0.1:8080/callbacks/channels/twilio/sms";
const TOKEN: &str = "twilio-auth-token";
const PHONE: &str = "+8613800000000";
const SMS: &str = r#"
    [[account]]
    name = "sms"
    channel = "sms"
    shape = "twilio"
    url = "http://gateway.example"
    from = "+15005550006"
    status_callback = "http://127.0.0.1:8080/callbacks/channels/twilio/sms"

    [policy]
    accounts = ["sms"]
    fallback = ["mail"]
"#;

/// A gateway that accepts each message. It keeps the bodies of the requests.
#[derive(Default)]
struct Gateway(Mutex<Vec<String>>);

#[async_trait]
impl HttpClient for Gateway {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let body = String::from_utf8(request.body.clone()).expect("a form");
        self.0.lock().expect("no panic").push(body);
        Ok(HttpResponse::of(
            201,
            br#"{"sid":"SM1","status":"queued","error_code":null}"#,
        ))
    }
}

/// A desk with a gateway, and the address for reports about its one message.
struct Sent {
    channels: Channels,
    query: String,
}

impl Sent {
    /// Sends a short message to zhangsan, who also has a mail address.
    async fn open() -> Self {
        let mut channels = Channels::open_with(&[MAIL, SMS].concat()).await;
        let gateway = Arc::new(Gateway::default());
        channels.desk.app.http = gateway.clone();
        let keys = &channels.desk.app.ledger.keys;
        let secret = json!({ "account_sid": format!("AC{}", "0".repeat(32)), "auth_token": TOKEN });
        let secret = secret.to_string();
        keys.keep_secret("channel/sms", secret.as_bytes())
            .await
            .unwrap();
        keys.keep_secret("inbound/sms", TOKEN.as_bytes())
            .await
            .unwrap();
        let addresses = json!({ "phone": PHONE, "email": "zhangsan@example.com" });
        let preferences = json!({ "addresses": addresses, "aggregation": false });
        let (status, answer) = channels.prefer("zhangsan", preferences).await;
        assert_eq!(status, 200, "{answer}");
        channels.submit().await;
        let sent = gateway.0.lock().expect("no panic").clone();
        let [body] = sent.as_slice() else {
            panic!("{sent:?}")
        };
        let form: Vec<(String, String)> = serde_urlencoded::from_str(body).expect("a form");
        let callback = form.iter().find(|(name, _)| name == "StatusCallback");
        let callback = &callback.expect("an address for reports").1;
        let query = callback.strip_prefix(ADDRESS).expect("the own address");
        Self {
            query: query.to_owned(),
            channels,
        }
    }

    /// Sends a signed report with the given query. Returns the HTTP status.
    async fn report(&self, query: &str, status: &str, code: &str) -> u16 {
        let mut fields = [
            ("MessageSid", "SM1"),
            ("MessageStatus", status),
            ("ErrorCode", code),
            ("To", PHONE),
        ];
        let body = serde_urlencoded::to_string(&fields[..]).expect("a form");
        fields.sort_unstable();
        let signed: String = fields
            .iter()
            .flat_map(|(name, value)| [*name, *value])
            .collect();
        let signed = format!("{ADDRESS}{query}{signed}");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        let request = Request::post(format!("/callbacks/channels/twilio/sms{query}"))
            .header("x-twilio-signature", signature)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.into());
        let (status, _) = self.channels.desk.send(request.expect("a request")).await;
        self.channels.desk.settle().await;
        status.as_u16()
    }

    fn mails(&self) -> usize {
        let mails = self.channels.desk.mailer.take();
        let of_person = mails
            .iter()
            .filter(|mail| mail.to == "zhangsan@example.com");
        of_person.count()
    }
}

#[tokio::test]
async fn an_undelivered_short_message_falls_back() {
    let sent = Sent::open().await;
    for status in ["sent", "delivered"] {
        assert_eq!(sent.report(&sent.query, status, "").await, 200);
    }
    assert_eq!(sent.mails(), 0, "a delivered message is not sent again");
    assert_eq!(sent.report(&sent.query, "undelivered", "30005").await, 200);
    assert_eq!(sent.mails(), 1);
    let events = sent.channels.events_of("sms").await;
    assert!(
        events.contains(&"delivery.bounced".to_owned()),
        "{events:?}"
    );
    // The number does not exist, so it is not used any more.
    let shown = sent
        .channels
        .get("people/zhangsan/addresses", "zhangsan")
        .await;
    let addresses = shown["addresses"].as_array().expect("a list").iter();
    let phone = addresses.clone().find(|one| one["kind"] == "phone");
    assert_eq!(phone.expect("a phone")["is_suppressed"], true);
    // The gateway repeats its report.
    assert_eq!(sent.report(&sent.query, "undelivered", "30005").await, 200);
    assert_eq!(sent.mails(), 0);
}

#[tokio::test]
async fn a_report_without_the_right_tag_changes_nothing() {
    let sent = Sent::open().await;
    let (before, tag) = sent.query.rsplit_once('=').expect("a tag");
    let wrong = format!("{before}={}", "0".repeat(tag.len()));
    assert_eq!(sent.report(&wrong, "failed", "30005").await, 200);
    assert_eq!(sent.report("", "failed", "30005").await, 200);
    assert_eq!(sent.mails(), 0);
    assert_eq!(sent.report(&sent.query, "failed", "").await, 200);
    assert_eq!(sent.mails(), 1);
}
