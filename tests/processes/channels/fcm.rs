//! These tests send messages to an imitation of Firebase Cloud Messaging (FCM): first with the plugin of the PyPI package
//! Apprise, then with the channel of the desk and its real HTTP client.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::fcm::{Device, Fcm, TOKEN_PATH};
use infra::channel::fcm::identity;
use infra::channel::{Access, Channel, Outgoing, Request, Response, contract};
use infra::clock::{Clock as _, ManualClock, SystemClock};
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const PROJECT: &str = "demo";
const DEVICE: &str = "cXf5v0aB-APA91bH_kq-0123456789";
const GONE: &str = "cXf5v0aB-APA91bH_kq-9876543210";
const UNKNOWN: &str = "cXf5v0aB-APA91bH_kq-0000000000";
const MESSAGES: &str = "POST /v1/projects/demo/messages:send";
const VENDOR: Vendor = Vendor {
    name: "FCM",
    paths: &[],
    headers: &["authorization"],
    optional: &[
        (
            MESSAGES,
            "member message.apns",
            "the desk sends to Apple devices without FCM",
        ),
        (
            MESSAGES,
            "member message.webpush",
            "the desk does not send to browsers",
        ),
    ],
    own: &[],
};

/// Runs a command of the program with Apprise. Returns what it prints.
async fn foreign(arguments: &[&str]) -> Value {
    let mut command = Command::new(installed().join("channels/bin/python"));
    command
        .arg(root().join("tests/foreign/fcm_client.py"))
        .args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{arguments:?}: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(printed.trim()).expect("JSON")
}

/// The channel of the desk with one account.
struct Sender {
    channel: &'static dyn Channel,
    account: Defined,
    client: Client,
}

impl Sender {
    fn new(url: &str) -> Self {
        let mut account = contract::account("fcm");
        account.settings.insert("url".into(), json!(url));
        let channel = infra::channel::find("fcm").expect("the channel");
        assert_eq!(channel.check(&account), Ok(()));
        let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
        Self {
            channel,
            account,
            client,
        }
    }

    /// Requests an access token. Returns the verdict (the result of the attempt) as text if there is no token.
    async fn token(&self, secret: &str, now: Moment) -> Result<String, String> {
        assert_eq!(self.channel.check_secret(secret), Ok(()));
        let access = self.channel.access(&self.account, secret, now);
        let Ok(Access::Asked(request)) = access else {
            panic!("{access:?}")
        };
        let token = self.channel.token(&self.client.send(&request).await);
        token
            .map(|token| token.value)
            .map_err(|verdict| contract::shown(&verdict))
    }

    /// Sends a message. Returns the verdict as text, and whether FCM refuses the access token.
    async fn send(&self, secret: &str, token: &str, to: &str, now: Moment) -> (String, bool) {
        let content = contract::content();
        let outgoing = Outgoing {
            token,
            now,
            ..contract::outgoing(&self.account, secret, to, &content)
        };
        let Ok(Request::Http(request)) = self.channel.request(&outgoing) else {
            panic!("a request")
        };
        let response = Response::Http(self.client.send(&request).await);
        let verdict = self.channel.verdict(&response);
        (
            contract::shown(&verdict),
            self.channel.refuses_token(&response),
        )
    }
}

async fn account_file(folder: &Path, name: &str, token_url: &str) -> String {
    let file = folder.join(name).to_str().expect("a path").to_owned();
    foreign(&["account", &file, PROJECT, token_url]).await;
    file
}

#[tokio::test]
async fn fcm_accepts_messages_of_another_client_and_of_the_desk() {
    let folder = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let token_url = format!("{url}{TOKEN_PATH}");
    let file = account_file(folder.path(), "account.json", &token_url).await;
    let secret = std::fs::read_to_string(&file).expect("readable");
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let identity = identity(&secret).expect("a service account");
    let fcm = Arc::new(Fcm::new(identity, clock.clone()).with_per_minute(6));
    fcm.set(DEVICE, Device::Registered);
    fcm.set(GONE, Device::Unregistered);
    let traffic = Arc::new(Traffic::default());
    traffic.serve(listener, fcm.clone().router());

    let printed = foreign(&["send", &url, PROJECT, &file, DEVICE, GONE, UNKNOWN]).await;
    assert_eq!(printed["calls"], 5, "{printed}");
    let accepted = fcm.accepted();
    assert_eq!(accepted.len(), 2, "{accepted:?}");
    assert_eq!(accepted[0]["android"]["priority"], "HIGH");

    // The desk sends the next messages.
    let libraries = traffic.of_libraries();
    clock.advance(60_000);
    let sender = Sender::new(&url);
    let now = clock.now();
    let token = sender.token(&secret, now).await.expect("a token");
    let (shown, _) = sender.send(&secret, &token, DEVICE, now).await;
    assert_eq!(shown, "accepted projects/demo/messages/0:2");
    let sent = fcm.accepted().pop().expect("a message");
    assert_eq!(sent["notification"]["title"], "REQ1 · 高");
    for (to, expected) in [
        (GONE, "recipient_invalid UNREGISTERED"),
        (UNKNOWN, "recipient_invalid INVALID_ARGUMENT"),
    ] {
        let result = sender.send(&secret, &token, to, now).await;
        assert_eq!(result, (expected.to_owned(), false));
    }
    for (status, expected) in [(503, "retry"), (500, "retry")] {
        fcm.plan(status);
        let result = sender.send(&secret, &token, DEVICE, now).await;
        assert_eq!(result, (expected.to_owned(), false));
    }

    // The quota of the project has six messages in a minute.
    let (shown, _) = sender.send(&secret, &token, DEVICE, now).await;
    assert_eq!(shown, "accepted projects/demo/messages/0:3");
    let (shown, _) = sender.send(&secret, &token, DEVICE, now).await;
    let pause = shown.strip_prefix("throttled ").expect("a pause");
    let pause: i64 = pause.parse().expect("milliseconds");
    assert!((1_000..=60_000).contains(&pause), "{pause}");
    clock.advance(pause);
    let (shown, _) = sender.send(&secret, &token, DEVICE, now).await;
    assert_eq!(shown, "accepted projects/demo/messages/0:4");

    // A token that is not valid any more is replaced. A token of another key is not issued.
    fcm.revoke_tokens();
    let result = sender.send(&secret, &token, DEVICE, now).await;
    assert_eq!(result, ("credential UNAUTHENTICATED".to_owned(), true));
    let token = sender.token(&secret, clock.now()).await.expect("a token");
    let (shown, _) = sender.send(&secret, &token, DEVICE, now).await;
    assert_eq!(shown, "accepted projects/demo/messages/0:5");
    let other = account_file(folder.path(), "other.json", &token_url).await;
    let other = std::fs::read_to_string(other).expect("readable");
    let refused = sender.token(&other, clock.now()).await;
    assert_eq!(refused, Err("credential invalid_grant".to_owned()));
    traffic.compare(&VENDOR, &libraries);
}
