//! Messages through an imitation of the company message bus of BlueKing. The client is the library bkapi-component-open.

use std::process::Command;
use std::sync::Arc;

use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::cmsi::Bus;
use infra::channel::contract::{account, content, outgoing, shown};
use infra::channel::{Channel, Request, Response, find};
use infra::clock::{Clock, ManualClock};
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const APP: &str = "ledgerdesk";
const SECRET: &str = "app-secret";
/// Maximum number of requests in one minute.
const PER_MINUTE: usize = 60;
const VENDOR: Vendor = Vendor {
    name: "CMSI",
    paths: &[],
    headers: &["authorization", "x-bkapi-authorization"],
    optional: &[],
    own: &[],
};

/// Starts a bus. Returns it with its base URL.
async fn start(clock: Arc<dyn Clock>) -> (Arc<Bus>, String, Arc<Traffic>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let users = [("lisi", true), ("zhaoliu", false)];
    let bus = Arc::new(Bus::new(APP, SECRET, &users, clock));
    let traffic = Arc::new(Traffic::default());
    traffic.serve(listener, bus.clone().router());
    (bus, format!("http://{address}"), traffic)
}

fn with(url: &str, msg_type: &str, operation: &str) -> Defined {
    let mut account = account("cmsi");
    for (key, value) in [
        ("url", url),
        ("app", APP),
        ("msg_type", msg_type),
        ("operation", operation),
    ] {
        account.settings.insert(key.into(), value.into());
    }
    account
}

/// Sends a message to a user with the codec and the real HTTP client. Returns the verdict (the result of the attempt) as a
/// text.
async fn send(client: &Client, account: &Defined, secret: &str, to: &str) -> String {
    let codec: &dyn Channel = find("cmsi").expect("the channel");
    assert_eq!(codec.check(account), Ok(()));
    let content = content();
    let Ok(Request::Http(request)) = codec.request(&outgoing(account, secret, to, &content)) else {
        panic!("a request")
    };
    let response = Response::Http(client.send(&request).await);
    shown(&codec.verdict_for(account, to, &response))
}

#[tokio::test]
async fn a_foreign_client_and_the_desk_use_the_message_bus() {
    let clock = Arc::new(ManualClock::at(Moment(1_577_262_236_757)));
    let (bus, url, traffic) = start(clock.clone()).await;
    let mut command = Command::new(installed().join("channels/bin/python"));
    command
        .arg(root().join("tests/foreign/cmsi_client.py"))
        .args([url.as_str(), APP, SECRET]);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let results: Value = serde_json::from_str(printed.trim()).expect("JSON");
    assert_eq!(results["some users"], json!([false, 1_306_000]));
    assert_eq!(results["version 2"], json!([true, 0]));
    let of_client = bus.accepted().len();
    assert_eq!(of_client, 6);
    let libraries = traffic.of_libraries();

    clock.advance(60_000);
    let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
    let mut requests = 0;
    for (msg_type, operation) in [
        ("mail", "send_msg"),
        ("weixin", "send_msg"),
        ("mail", "send_mail"),
        ("sms", "send_sms"),
        ("weixin", "send_weixin"),
    ] {
        let account = with(&url, msg_type, operation);
        assert_eq!(send(&client, &account, SECRET, "lisi").await, "accepted");
        requests += 1;
        let newest = bus.accepted().pop().expect("a message");
        assert_eq!(
            (&newest["type"], &newest["to"]),
            (&json!(msg_type), &json!(["lisi"])),
            "{newest}"
        );
        let text = newest["content"].as_str().expect("a text");
        assert!(text.contains("https://desk.example/tickets/REQ1"), "{text}");
    }
    let mail = with(&url, "mail", "send_msg");
    // The HTTP status of these refusals is 200.
    for to in ["ghost", "zhaoliu"] {
        let refused = send(&client, &mail, SECRET, to).await;
        assert_eq!(refused, "recipient_invalid 1306000");
        requests += 1;
    }
    let refused = send(&client, &with(&url, "fax", "send_msg"), SECRET, "lisi").await;
    assert_eq!(refused, "permanent 1306000");
    requests += 1;
    // A request with wrong credentials does not count in the rate limit.
    let refused = send(&client, &mail, "wrong", "lisi").await;
    assert_eq!(refused, "credential 1306403");
    for _ in requests..PER_MINUTE {
        assert_eq!(send(&client, &mail, SECRET, "lisi").await, "accepted");
    }
    let limited = send(&client, &mail, SECRET, "lisi").await;
    assert_eq!(limited, "throttled 60000");
    // Without the refusals for wrong users and the wrong type, every counted request sent a message.
    assert_eq!(bus.accepted().len(), of_client + PER_MINUTE - 3);
    traffic.compare(&VENDOR, &libraries);
}
