//! These tests send messages to an imitation of the Apple Push Notification service (APNs): first with the PyPI package
//! aioapns, then with the channel of the desk. APNs and aioapns need TLS, which the imitation does not have. Therefore, a
//! relay (tests/foreign/apns_client.py) ends the TLS connections in front of the imitation.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::apns::{Apns, Device};
use infra::channel::apns::identity;
use infra::channel::push::new_es256_key;
use infra::channel::{Access, Channel, Outgoing, Request, Response, contract};
use infra::clock::{Clock as _, ManualClock, SystemClock};
use infra::http::client::Client;
use infra::http::egress::Egress;
use infra::http::{HttpClient as _, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tests::foreign::{installed, spawn};
use tests::process::{Process, root, until};
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const KEY_ID: &str = "KEY1234567";
const TEAM_ID: &str = "TEAM123456";
const TOPIC: &str = "com.example.desk";
/// Minimum time between two new provider tokens, in milliseconds.
const TOKEN_PAUSE_MS: i64 = 1_200_000;
const VENDOR: Vendor = Vendor {
    name: "APNs",
    paths: &["/3/device/*"],
    headers: &[
        "authorization",
        "apns-id",
        "apns-topic",
        "apns-push-type",
        "apns-priority",
        "apns-expiration",
        "apns-collapse-id",
    ],
    optional: &[],
    own: &[],
};

fn program() -> Command {
    let mut command = Command::new(installed().join("channels/bin/python"));
    command.arg(root().join("tests/foreign/apns_client.py"));
    command
}

/// Starts the relay for TLS. Returns its process and its port.
async fn relay(folder: &Path, target: u16) -> (Process, u16) {
    let mut command = program();
    command.arg("relay").arg(folder).arg(target.to_string());
    let process = spawn(&mut command, &folder.join("relay.log"));
    let port = until("the relay listens", async || {
        let text = std::fs::read_to_string(folder.join("port"));
        text.map_err(|error| json!(error.to_string()))
    })
    .await;
    (process, port.parse().expect("a port"))
}

/// Sends messages with aioapns through the relay. Returns what the program prints.
async fn foreign(folder: &Path, key: &Path, device: &str, gone: &str) -> Value {
    let mut command = program();
    command.arg("send").arg(folder).arg(key);
    command.args([KEY_ID, TEAM_ID, TOPIC, device, gone]);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(printed.trim()).expect("JSON")
}

fn secret(key: &str) -> String {
    json!({ "key_id": KEY_ID, "team_id": TEAM_ID, "private_key": key }).to_string()
}

/// The channel of the desk with one account.
struct Sender {
    channel: &'static dyn Channel,
    account: Defined,
}

impl Sender {
    fn new(url: &str, topic: &str) -> Self {
        let mut account = contract::account("apns");
        account.settings.insert("url".into(), json!(url));
        account.settings.insert("topic".into(), json!(topic));
        let channel = infra::channel::find("apns").expect("the channel");
        assert_eq!(channel.check(&account), Ok(()));
        Self { channel, account }
    }

    fn token(&self, secret: &str, now: Moment) -> String {
        assert_eq!(self.channel.check_secret(secret), Ok(()));
        let access = self.channel.access(&self.account, secret, now);
        let Ok(Access::Made(token)) = access else {
            panic!("{access:?}")
        };
        token.value
    }

    fn request(&self, token: &str, to: &str, now: Moment) -> HttpRequest {
        let content = contract::content();
        let outgoing = Outgoing {
            token,
            now,
            requested: now,
            ..contract::outgoing(&self.account, "", to, &content)
        };
        let Ok(Request::Http(request)) = self.channel.request(&outgoing) else {
            panic!("a request")
        };
        request
    }

    /// Sends a message without TLS. Returns the verdict (the result of the attempt) as text, and whether APNs refuses the
    /// provider token.
    async fn send(&self, client: &Client, token: &str, to: &str, now: Moment) -> (String, bool) {
        let request = self.request(token, to, now);
        let response = Response::Http(client.send(&request).await);
        let verdict = self.channel.verdict(&response);
        (
            contract::shown(&verdict),
            self.channel.refuses_token(&response),
        )
    }
}

/// Sends a request with TLS. The client is built as the HTTP client of the desk, and trusts the authority of the relay in
/// addition.
async fn send_with_tls(folder: &Path, request: &HttpRequest) -> HttpResponse {
    let authority = std::fs::read(folder.join("ca.pem")).expect("readable");
    let authority = reqwest::Certificate::from_pem(&authority).expect("a certificate");
    let client = infra::http::tls::client()
        .tls_certs_merge([authority])
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client");
    let mut sent = client.post(&request.url).body(request.body.clone());
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let response = sent.send().await.expect("a response");
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let status = response.status().as_u16();
    let headers = response.headers().iter().map(|(name, value)| {
        let value = value.to_str().expect("a text");
        (name.as_str().to_owned(), value.to_owned())
    });
    let headers = headers.collect();
    let body = response.bytes().await.expect("a body");
    HttpResponse {
        headers,
        ..HttpResponse::of(status, &body)
    }
}

#[tokio::test]
async fn apns_accepts_messages_of_another_client_and_of_the_desk() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    let (device, gone, unknown) = ("0a".repeat(32), "0b".repeat(32), "0c".repeat(32));
    let key = new_es256_key();
    let key_file = folder.join("key.p8");
    std::fs::write(&key_file, &key).expect("written");
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let identity = identity(&secret(&key)).expect("a secret");
    let apns = Arc::new(Apns::new(identity, TOPIC, clock.clone()).with_per_minute(30));
    apns.set(&device, Device::Registered);
    apns.set(&gone, Device::Unregistered);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let traffic = Arc::new(Traffic::default());
    traffic.serve(listener, apns.clone().router());
    let (_relay, tls_port) = relay(folder, port).await;

    let printed = foreign(folder, &key_file, &device, &gone).await;
    let accepted = apns.accepted();
    assert_eq!(accepted.len(), 22, "{printed}");
    let is_http2 = |version: reqwest::Version| version == reqwest::Version::HTTP_2;
    assert!(accepted.iter().all(|one| is_http2(one.version)));
    assert_eq!(accepted[0].collapse_id, "REQ1");
    let libraries = traffic.of_libraries();

    // The desk has another provider token than aioapns, which is too early. After 20 minutes, APNs accepts the token.
    let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
    let sender = Sender::new(&format!("http://127.0.0.1:{port}"), TOPIC);
    let token = sender.token(&secret(&key), clock.now());
    let (shown, _) = sender.send(&client, &token, &device, clock.now()).await;
    assert_eq!(shown, "throttled 1200000");
    clock.advance(TOKEN_PAUSE_MS);
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    let (shown, _) = sender.send(&client, &token, &device, clock.now()).await;
    assert_eq!(shown, format!("accepted {id}"));
    let secure = Sender::new(&format!("https://127.0.0.1:{tls_port}"), TOPIC);
    for (to, expected) in [
        (&device, format!("accepted {id}")),
        (&gone, "recipient_invalid Unregistered".into()),
    ] {
        let request = secure.request(&token, to, clock.now());
        let response = Response::Http(Ok(send_with_tls(folder, &request).await));
        assert_eq!(
            contract::shown(&secure.channel.verdict(&response)),
            expected
        );
    }
    let accepted = apns.accepted();
    let [.., plain, with_tls] = accepted.as_slice() else {
        panic!("two messages")
    };
    assert!(!is_http2(plain.version) && is_http2(with_tls.version));
    assert_eq!(plain.body, with_tls.body);
    assert_eq!(with_tls.body["aps"]["alert"]["title"], "REQ1 · 高");

    // Refusals: the device, the topic, and the key.
    let (shown, _) = sender.send(&client, &token, &unknown, clock.now()).await;
    assert_eq!(shown, "recipient_invalid BadDeviceToken");
    let other = Sender::new(&format!("http://127.0.0.1:{port}"), "com.example.other");
    let (shown, _) = other.send(&client, &token, &device, clock.now()).await;
    assert_eq!(shown, "credential TopicDisallowed");
    let wrong = sender.token(&secret(&new_es256_key()), clock.now());
    let result = sender.send(&client, &wrong, &device, clock.now()).await;
    assert_eq!(
        result,
        ("credential InvalidProviderToken".to_owned(), false)
    );

    // The limit of one device, and the end of the provider token.
    for _ in 0..28 {
        let (shown, _) = sender.send(&client, &token, &device, clock.now()).await;
        assert_eq!(shown, format!("accepted {id}"));
    }
    let (shown, _) = sender.send(&client, &token, &device, clock.now()).await;
    assert_eq!(shown, "throttled 60000");
    clock.advance(3_600_000);
    let result = sender.send(&client, &token, &device, clock.now()).await;
    assert_eq!(result, ("credential ExpiredProviderToken".to_owned(), true));
    let token = sender.token(&secret(&key), clock.now());
    let (shown, _) = sender.send(&client, &token, &device, clock.now()).await;
    assert_eq!(shown, format!("accepted {id}"));
    assert_eq!(printed["calls"], 30, "{printed}");
    traffic.compare(&VENDOR, &libraries);
}
