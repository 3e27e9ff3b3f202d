//! Short messages through imitations of Twilio, Alibaba Cloud and a custom gateway. The clients are the library of Twilio,
//! Apprise and the core library of Alibaba Cloud.

use std::process::Command;
use std::sync::Arc;

use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::sms::{
    ACCESS_KEY_ID, ACCOUNT_SID, CUSTOM, FROM, Gateway, SIGN_NAME, TEMPLATE_CODE,
};
use infra::channel::contract::{account, content, outgoing, shown};
use infra::channel::{Channel, Outgoing, Request, Response, find};
use infra::clock::{Clock, ManualClock, SystemClock};
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const SECRET: &str = "gatewaysecret";
const TO: &str = "+8613800000000";
const VENDOR: Vendor = Vendor {
    name: "Twilio and Alibaba Cloud",
    paths: &["/2010-04-01/Accounts/*/Messages.json"],
    headers: &["authorization"],
    optional: &[(
        "POST /",
        "parameter SignatureType",
        "it is empty for a signature with a secret, and the interface does not require it",
    )],
    own: &[],
};

/// Starts the imitations. Returns them with their base URL.
async fn start(clock: Arc<dyn Clock>) -> (Arc<Gateway>, String, Arc<Traffic>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let gateway = Arc::new(Gateway::new(SECRET, clock));
    let traffic = Arc::new(Traffic::default());
    traffic.serve(listener, gateway.clone().router());
    (gateway, format!("http://{address}"), traffic)
}

fn with(settings: &Value) -> Defined {
    let mut account = account("sms");
    let settings = settings.as_object().expect("an object").clone();
    account.settings = settings.into_iter().collect();
    account
}

/// Sends a message to a phone number with the codec and the real HTTP client. Returns the verdict (the result of the attempt)
/// as a text.
async fn send(client: &Client, account: &Defined, secret: &str, to: &str, now: Moment) -> String {
    let codec: &dyn Channel = find("sms").expect("the channel");
    assert_eq!(codec.check(account), Ok(()));
    assert_eq!(codec.check_secret(secret), Ok(()));
    let content = content();
    let message = Outgoing {
        now,
        ..outgoing(account, secret, to, &content)
    };
    let Ok(Request::Http(request)) = codec.request(&message) else {
        panic!("a request")
    };
    let response = Response::Http(client.send(&request).await);
    shown(&codec.verdict_for(account, to, &response))
}

#[tokio::test]
async fn foreign_clients_and_the_desk_send_short_messages() {
    let (gateway, url, of_clients) = start(Arc::new(SystemClock)).await;
    let mut command = Command::new(installed().join("channels/bin/python"));
    command
        .arg(root().join("tests/foreign/sms_client.py"))
        .args([url.as_str(), SECRET]);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let results: Value = serde_json::from_str(printed.trim()).expect("JSON");
    assert_eq!(results["twilio"]["opted out"], json!([400, 21_610]));
    assert_eq!(results["apprise"]["accepted"], json!([true, null]));
    assert_eq!(results["template"]["accepted"], "OK");
    let accepted = gateway.accepted();
    assert_eq!(accepted.len(), 5, "{accepted:?}");
    let libraries = of_clients.of_libraries();

    // The desk sends to another imitation, whose rate of messages does not depend on the clients.
    let clock = Arc::new(ManualClock::at(Moment(1_577_262_236_757)));
    let now = clock.now();
    let (gateway, url, traffic) = start(clock.clone()).await;
    let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
    let twilio = with(&json!({ "shape": "twilio", "url": url, "from": FROM }));
    let secret = json!({ "account_sid": ACCOUNT_SID, "auth_token": SECRET }).to_string();
    let sent = send(&client, &twilio, &secret, TO, now).await;
    assert_eq!(sent, format!("accepted SM{:032x}", 1));
    for (to, expected) in [
        ("+15005550001", "recipient_invalid 21211"),
        ("+15005550002", "permanent 21612"),
        ("+15005550004", "recipient_invalid 21610"),
        ("+15005550009", "recipient_invalid 21614"),
    ] {
        assert_eq!(send(&client, &twilio, &secret, to, now).await, expected);
    }
    let wrong = json!({ "account_sid": ACCOUNT_SID, "auth_token": "wrong" }).to_string();
    let refused = send(&client, &twilio, &wrong, TO, now).await;
    assert_eq!(refused, "credential 20003");
    for _ in 1..10 {
        let sent = send(&client, &twilio, &secret, TO, now).await;
        assert!(sent.starts_with("accepted SM"), "{sent}");
    }
    let limited = send(&client, &twilio, &secret, TO, now).await;
    assert_eq!(limited, "throttled 60000");
    let accepted = gateway.accepted();
    assert_eq!(accepted.len(), 10, "{accepted:?}");
    let text = accepted[0]["text"].as_str().expect("a text");
    assert_eq!(
        text,
        "REQ1 请审批: 申请权限\n优先级：高\n打开工单：https://desk.example/tickets/REQ1"
    );
    assert_eq!(accepted[0]["to"], TO);
    let key = key_of_template(SECRET);
    let sent = send(&client, &with_template(&url), &key, TO, now).await;
    assert!(sent.starts_with("accepted "), "{sent}");
    traffic.compare(&VENDOR, &libraries);
}

/// Returns an account that sends through the imitation of Alibaba Cloud.
fn with_template(url: &str) -> Defined {
    with(&json!({
        "shape": "template", "url": url, "sign_name": SIGN_NAME, "template_code": TEMPLATE_CODE,
        "params": { "sn": "${ticket}", "title": "${subject}" },
    }))
}

fn key_of_template(key: &str) -> String {
    json!({ "access_key_id": ACCESS_KEY_ID, "access_key_secret": key }).to_string()
}

#[tokio::test]
async fn templates_and_custom_gateways_are_judged_by_their_codes() {
    let clock = Arc::new(ManualClock::at(Moment(1_577_262_236_757)));
    let (gateway, url, _traffic) = start(clock.clone()).await;
    let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
    let template = with_template(&url);
    let right = key_of_template(SECRET);
    // The clock advances, because a nonce of Alibaba Cloud is valid only once.
    let next = || {
        clock.advance(1);
        clock.now()
    };
    let sent = send(&client, &template, &right, TO, next()).await;
    assert_eq!(sent, "accepted 1^0");
    let params = gateway.accepted()[0]["params"].clone();
    assert_eq!(params, json!({ "sn": "REQ1", "title": "请审批: 申请权限" }));
    // The HTTP status of these refusals is 200.
    let illegal = send(&client, &template, &right, "+8623800000000", next()).await;
    assert_eq!(illegal, "recipient_invalid isv.MOBILE_NUMBER_ILLEGAL");
    let mut unknown = template.clone();
    unknown
        .settings
        .insert("template_code".into(), "SMS_1".into());
    let refused = send(&client, &unknown, &right, TO, next()).await;
    assert_eq!(refused, "permanent isv.SMS_TEMPLATE_ILLEGAL");
    let wrong = send(&client, &template, &key_of_template("wrong"), TO, next()).await;
    assert_eq!(wrong, "credential SignatureDoesNotMatch");
    let stale = Moment(clock.now().0 - 3_600_000);
    let stale = send(&client, &template, &right, TO, stale).await;
    assert_eq!(stale, "credential InvalidTimeStamp.Expired");
    for _ in 1..40 {
        let sent = send(&client, &template, &right, TO, next()).await;
        assert!(sent.starts_with("accepted "), "{sent}");
    }
    let limited = send(&client, &template, &right, TO, next()).await;
    assert_eq!(limited, "throttled 86400000");
    assert_eq!(gateway.accepted().len(), 40);

    let custom = with(&json!({
        "shape": "custom", "url": format!("{url}{CUSTOM}"), "auth": "hmac",
        "body": { "to": "${to}", "text": "${text}" },
        "code_path": "/result/code", "message_path": "/result/id", "reason_path": "/result/text",
        "codes": { "0": "ok", "E401": "credential", "E404": "recipient_invalid" },
    }));
    let key = |key: &str| json!({ "key": key }).to_string();
    let sent = send(&client, &custom, &key(SECRET), TO, next()).await;
    assert_eq!(sent, "accepted C41");
    let wrong = send(&client, &custom, &key("wrong"), TO, next()).await;
    assert_eq!(wrong, "credential E401");
    let missing = send(&client, &custom, &key(SECRET), "13800000000", next()).await;
    assert_eq!(missing, "recipient_invalid E404");
    assert_eq!(gateway.accepted().len(), 41);

    // A desk without egress to the loopback address sends nothing.
    let closed = Client::new(Egress::default()).expect("a client");
    let refused = send(&closed, &custom, &key(SECRET), TO, next()).await;
    assert_eq!(refused, "retry");
    assert_eq!(gateway.accepted().len(), 41);
}
