//! This test uses an imitation of Feishu with lark-oapi, the client library of the vendor, with apprise, and with the channels
//! of the desk.

use std::process::Command;
use std::sync::Arc;

use domain::notification::content::{Action, Content};
use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::feishu::{FORBIDDEN_WORD, Feishu};
use infra::channel::feishu::{buzz, buzz_verdict, update};
use infra::channel::{self, Access, Channel, Outgoing, Request, Response, contract};
use infra::clock::{Clock as _, SystemClock};
use infra::http::client::Client;
use infra::http::egress::Egress;
use infra::http::{HttpClient as _, HttpRequest};
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const APP_ID: &str = "cli_a";
const APP_SECRET: &str = "key-of-the-application";
const OPEN_BOT: &str = "open-bot";
const SIGNED_BOT: &str = "signed-bot";
const BOT_SECRET: &str = "key-of-the-bot";
/// Maximum number of messages until a rate limit must refuse one. The limit is 5 messages in one second.
const MESSAGES_MAX: usize = 500;
const VENDOR: Vendor = Vendor {
    name: "Feishu",
    paths: &[
        "/open-apis/bot/v2/hook/*",
        "/open-apis/im/v1/messages/*",
        "/open-apis/im/v1/messages/*/urgent_app",
    ],
    headers: &["authorization"],
    optional: &[(
        "POST /open-apis/bot/v2/hook/*",
        "member content",
        "Apprise sends texts, and the desk sends cards, which have the member `card`",
    )],
    own: &[],
};

/// Runs the client libraries of others against the imitation. Returns what the program prints.
async fn libraries(url: &str) -> Value {
    let mut command = Command::new(installed().join("channels/bin/python"));
    command
        .arg(root().join("tests/foreign/feishu_client.py"))
        .args([url, APP_ID, APP_SECRET, OPEN_BOT, SIGNED_BOT])
        .args(["ou_library", "ou_busy"]);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(printed.trim()).expect("a JSON object")
}

/// An account of the desk that sends through the real HTTP client.
struct Sender {
    codec: &'static dyn Channel,
    account: Defined,
    secret: String,
    token: String,
    client: Client,
}

impl Sender {
    fn new(name: &str, url: &str, secret: &Value) -> Self {
        let mut account = contract::account(name);
        account.settings.insert("url".into(), url.into());
        let codec = channel::find(name).expect("the channel");
        let secret = secret.to_string();
        assert_eq!(codec.check(&account), Ok(()));
        assert_eq!(codec.check_secret(&secret), Ok(()));
        let egress = Egress::default().with_loopback(true);
        Self {
            codec,
            account,
            secret,
            token: String::new(),
            client: Client::new(egress).expect("a client"),
        }
    }

    /// Asks the imitation for an access token. Returns the verdict as text if there is no token.
    async fn log_in(&mut self) -> Result<(), String> {
        let now = SystemClock.now();
        let access = self.codec.access(&self.account, &self.secret, now);
        let Ok(Access::Asked(request)) = access else {
            panic!("a request for a token")
        };
        let token = self.codec.token(&self.client.send(&request).await);
        let token = token.map_err(|verdict| contract::shown(&verdict))?;
        assert!(token.lifetime_ms > 1_800_000, "{token:?}");
        self.token = token.value;
        Ok(())
    }

    fn outgoing<'a>(&'a self, to: &'a str, id: &'a str, content: &'a Content) -> Outgoing<'a> {
        Outgoing {
            id,
            token: &self.token,
            now: SystemClock.now(),
            requested: Moment(0),
            ..contract::outgoing(&self.account, &self.secret, to, content)
        }
    }

    async fn respond(&self, request: &HttpRequest) -> Response {
        Response::Http(self.client.send(request).await)
    }

    /// Sends a message with the given id and subject. Returns the response.
    async fn send(&self, to: &str, id: &str, subject: &str) -> Response {
        let mut content = contract::content();
        content.subject = subject.to_owned();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "同意".into(),
            is_primary: true,
            url: "https://desk.example/act/1".into(),
            value: "signed".into(),
        }];
        let request = self.codec.request(&self.outgoing(to, id, &content));
        let Ok(Request::Http(request)) = request else {
            panic!("a request")
        };
        self.respond(&request).await
    }

    /// Sends a message. Returns the verdict as text.
    async fn shown(&self, to: &str, id: &str, subject: &str) -> String {
        let response = self.send(to, id, subject).await;
        contract::shown(&self.codec.verdict(&response))
    }

    /// Sends messages until one of them is not accepted. Returns the verdict of this message as text.
    async fn refused(&self, to: &str) -> String {
        for number in 0..MESSAGES_MAX {
            let shown = self.shown(to, &format!("limit-{number}"), "x").await;
            if !shown.starts_with("accepted") {
                return shown;
            }
        }
        panic!("no message was refused")
    }
}

async fn start() -> (Arc<Feishu>, String, Arc<Traffic>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let known = ["ou_library", "ou_busy", "ou_1", "ou_2"];
    let feishu = Feishu::new(APP_ID, APP_SECRET, &known, Arc::new(SystemClock))
        .with_bot(OPEN_BOT, "", "")
        .with_bot(SIGNED_BOT, BOT_SECRET, "");
    let feishu = Arc::new(feishu);
    let traffic = Arc::new(Traffic::default());
    traffic.serve(listener, feishu.clone().router());
    (feishu, format!("http://{address}"), traffic)
}

#[tokio::test]
async fn an_application_of_feishu_serves_the_library_of_the_vendor_and_the_desk() {
    let (feishu, url, traffic) = start().await;
    let results = libraries(&url).await;
    assert_eq!(results["wrong_secret"], 10_014);
    assert_eq!(results["refused"], json!([230_001, 230_099, 99_992_402]));
    assert_ne!(results["limited"], 0);
    let messages = feishu.messages();
    assert_eq!(messages[0]["message_id"], results["text"]);
    assert_eq!(messages[1]["message_id"], results["card"]);
    let card = &messages[1];
    assert_eq!(card["content"]["header"]["title"]["content"], "New");
    assert_eq!(card["urgent"], json!(["ou_library"]));
    // Apprise reports both messages as sent, but the bot that checks signatures refused its message.
    assert_eq!(results["apprise"], json!({ "open": true, "signed": true }));
    assert_eq!(feishu.accepted_by(OPEN_BOT).len(), 1);
    assert!(feishu.accepted_by(SIGNED_BOT).is_empty());
    let groups = feishu.groups();
    let group = &groups[results["group"].as_str().expect("an id")];
    assert_eq!(group.name, "【已挂起】REQ1");
    assert!(group.is_dissolved && group.members.is_empty(), "{group:?}");
    println!("lark-oapi and apprise: {results}");
    let libraries = traffic.of_libraries();

    let secret = json!({ "app_id": APP_ID, "app_secret": "wrong" });
    let mut wrong = Sender::new("feishu", &url, &secret);
    assert_eq!(wrong.log_in().await, Err("credential 10014".into()));
    let secret = json!({ "app_id": APP_ID, "app_secret": APP_SECRET });
    let mut desk = Sender::new("feishu", &url, &secret);
    desk.log_in().await.expect("a token");
    let before = feishu.messages().len();
    let sent = desk.shown("ou_1", "id-1", "first").await;
    let message = sent.strip_prefix("accepted ").expect("an accepted message");
    assert_eq!(desk.shown("ou_1", "id-1", "first").await, sent, "once");
    let messages = feishu.messages();
    assert_eq!(messages.len(), before + 1);
    let stored = &messages[before];
    assert_eq!(stored["message_id"], message);
    assert_eq!(stored["receive_id"], "ou_1");
    let button = &stored["content"]["elements"][2]["actions"][0];
    assert_eq!(
        button["value"],
        json!({ "name": "approve", "value": "signed" })
    );
    for (to, subject, expected) in [
        ("ou_9", "x", "recipient_invalid 230001"),
        ("ou_1", FORBIDDEN_WORD, "permanent 230022"),
    ] {
        assert_eq!(desk.shown(to, "id-2", subject).await, expected);
    }

    // The card is replaced, and the message is made urgent.
    let mut content = contract::content();
    content.subject = "second".into();
    let outgoing = desk.outgoing("ou_1", "id-1", &content);
    let response = desk
        .respond(&update(&outgoing, message).expect("a request"))
        .await;
    assert_eq!(contract::shown(&desk.codec.verdict(&response)), "accepted");
    let response = desk
        .respond(&buzz(&outgoing, message).expect("a request"))
        .await;
    assert_eq!(contract::shown(&buzz_verdict(&response)), "accepted");
    let stranger = desk.outgoing("ou_2", "id-1", &content);
    let response = desk
        .respond(&buzz(&stranger, message).expect("a request"))
        .await;
    assert_eq!(
        contract::shown(&buzz_verdict(&response)),
        "recipient_invalid 0"
    );
    let stored = &feishu.messages()[before];
    assert_eq!(stored["content"]["header"]["title"]["content"], "second");

    assert_eq!(desk.refused("ou_2").await, "throttled 2000");

    // A revoked token is recognized, and a new token works.
    let issued = feishu.issued();
    feishu.revoke();
    let response = desk.send("ou_1", "id-3", "third").await;
    assert!(desk.codec.refuses_token(&response), "{response:?}");
    desk.log_in().await.expect("a new token");
    assert_eq!(feishu.issued(), issued + 1);
    let response = desk.send("ou_1", "id-3", "third").await;
    assert!(!desk.codec.refuses_token(&response), "{response:?}");

    // The desk signs the message to the bot that refused the message of Apprise.
    let secret = json!({ "token": SIGNED_BOT, "secret": BOT_SECRET });
    let bot = Sender::new("feishu_robot", &url, &secret);
    assert_eq!(bot.shown("ou_1", "id-4", "first").await, "accepted");
    assert_eq!(feishu.accepted_by(SIGNED_BOT).len(), 1);
    traffic.compare(&VENDOR, &libraries);
}

#[tokio::test]
async fn a_custom_bot_of_feishu_accepts_signed_messages_of_the_desk() {
    let (feishu, url, _traffic) = start().await;
    let bot = |token: &str, secret: &str| {
        let secret = json!({ "token": token, "secret": secret });
        Sender::new("feishu_robot", &url, &secret)
    };
    let right = bot(SIGNED_BOT, BOT_SECRET);
    assert_eq!(right.shown("ou_1", "id-1", "first").await, "accepted");
    let [stored] = feishu
        .accepted_by(SIGNED_BOT)
        .try_into()
        .expect("one message");
    assert_eq!(stored["card"]["header"]["title"]["content"], "first");
    let button = &stored["card"]["elements"][3]["actions"][0];
    assert_eq!(button["url"], "https://desk.example/act/1");

    // Feishu refuses these messages with HTTP status 200.
    for (wrong, expected) in [
        (bot(SIGNED_BOT, "another key"), "credential 19021"),
        (bot(SIGNED_BOT, ""), "credential 19021"),
        (bot("unknown", BOT_SECRET), "credential 19001"),
    ] {
        let response = wrong.send("ou_1", "id-2", "x").await;
        let Response::Http(Ok(answer)) = &response else {
            panic!("{response:?}")
        };
        assert_eq!(answer.status, 200);
        assert_eq!(contract::shown(&wrong.codec.verdict(&response)), expected);
    }
    assert_eq!(feishu.accepted_by(SIGNED_BOT).len(), 1);

    let open = bot(OPEN_BOT, "");
    assert_eq!(open.refused("ou_1").await, "throttled 10000");
    let accepted = feishu.accepted_by(OPEN_BOT).len();
    assert!(accepted >= 5, "{accepted}");
}
