//! These tests send messages to an imitation of Microsoft Teams: through a workflow and through a bot. Client libraries of
//! other projects use the same imitation, and the package of the vendor for Adaptive Cards reads the messages of the desk.

use std::process::Command;
use std::sync::Arc;

use domain::attempt::Verdict;
use domain::notification::content::{Action, Content};
use events::channel_account::Defined;
use functions::cli::demo::fakes::bot_framework::{self, KEYS_PATH, METADATA_PATH};
use functions::cli::demo::fakes::teams::{RETIRED, SERVICE_PATH, TOKEN_PATH, Teams};
use infra::channel::contract::{account, content, outgoing, shown};
use infra::channel::{
    Access, Channel, Outgoing, Request, Response, TIMEOUT, Token, find, teams_bot,
};
use infra::clock::{Clock as _, SystemClock};
use infra::http::client::Client;
use infra::http::egress::Egress;
use infra::http::{HttpClient as _, HttpRequest};
use infra::inbound::Verified;
use infra::inbound::teams_bot::{Trusted, published};
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::{free_port, root};
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

/// The application id and the client secret of the bot.
const APP: (&str, &str) = ("0a1b2c3d-0000-4000-8000-000000000001", "client-secret");
/// The id and the signature of the workflow.
const WORKFLOW: (&str, &str) = ("w1", "s1");
const CHAT: &str = "a:1";
const BLOCKED: &str = "a:blocked";
const PERSON: &str = "lisi@example.com";
/// Number of messages after which every rate limit of the imitation is reached.
const MESSAGES_MAX: usize = 70;
/// The chat of the desk in the comparison with the client libraries, which use the whole rate of the other chat.
const OTHER_CHAT: &str = "a:2";
const VENDOR: Vendor = Vendor {
    name: "Teams",
    paths: &[
        "/workflows/*/triggers/manual/paths/invoke",
        "/teams/v3/conversations/*/activities",
        "/teams/v3/conversations/*/activities/*",
    ],
    headers: &["authorization"],
    optional: &[
        (
            "POST /botframework.com/oauth2/v2.0/token",
            "parameter client_info",
            "MSAL asks for the person behind a token, and a bot is no person",
        ),
        (
            "PUT /teams/v3/conversations/*/activities/*",
            "member text",
            "the library replaces a card by a text, and the desk by another card",
        ),
    ],
    own: &[],
};

/// Starts an imitation with two chats, and returns it with its base URL. One chat refuses all messages.
async fn start() -> (Arc<Teams>, String) {
    let (teams, url, _) = recorded().await;
    (teams, url)
}

/// Starts the same imitation, and records the requests.
async fn recorded() -> (Arc<Teams>, String, Arc<Traffic>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let teams = Arc::new(Teams::new(APP, WORKFLOW, Arc::new(SystemClock)));
    teams.add_chat(CHAT, None);
    teams.add_chat(BLOCKED, Some((403, "BotNotInConversationRoster")));
    let traffic = Arc::new(Traffic::default());
    traffic.serve(listener, teams.clone().router());
    (teams, format!("http://{address}"), traffic)
}

fn client() -> Client {
    Client::new(Egress::default().with_loopback(true)).expect("a client")
}

fn codec(name: &str) -> &'static dyn Channel {
    find(name).expect("the channel")
}

fn message() -> Content {
    Content {
        actions: vec![Action {
            name: "approve".into(),
            label: "批准".into(),
            is_primary: true,
            url: "https://desk.example/act".into(),
            value: "v1.signed".into(),
        }],
        ..content()
    }
}

/// Runs a program to its end and returns the JSON value that it prints.
pub(super) async fn printed(mut command: Command) -> Value {
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

/// Sends a message of the desk and returns the response.
async fn sent(client: &Client, codec: &dyn Channel, outgoing: &Outgoing<'_>) -> Response {
    let Ok(Request::Http(request)) = codec.request(outgoing) else {
        panic!("a request")
    };
    Response::Http(client.send(&request).await)
}

/// Asks for an access token as the desk does.
async fn granted(client: &Client, account: &Defined, secret: &str) -> Result<Token, Verdict> {
    let bot = codec("teams_bot");
    let Ok(Access::Asked(request)) = bot.access(account, secret, SystemClock.now()) else {
        panic!("a request")
    };
    bot.token(&client.send(&request).await)
}

fn bot(url: &str) -> Defined {
    let mut account = account("teams_bot");
    for (key, value) in [
        ("app_id", APP.0.to_owned()),
        ("url", format!("{url}{SERVICE_PATH}")),
        ("token_url", format!("{url}{TOKEN_PATH}")),
    ] {
        account.settings.insert(key.into(), value.into());
    }
    account.settings.insert("buttons".into(), true.into());
    assert_eq!(codec("teams_bot").check(&account), Ok(()));
    account
}

/// Returns a message of the bot to a chat.
fn to<'a>(
    account: &'a Defined,
    content: &'a Content,
    chat: &'a str,
    token: &'a str,
) -> Outgoing<'a> {
    Outgoing {
        token,
        ..outgoing(account, APP.1, chat, content)
    }
}

#[tokio::test]
async fn client_libraries_and_the_desk_use_the_imitation_of_teams() {
    let (teams, url, traffic) = recorded().await;
    let mut command = Command::new(installed().join("teams/bin/python"));
    command
        .arg(root().join("tests/foreign/teams_client.py"))
        .args([url.as_str(), WORKFLOW.0, WORKFLOW.1, APP.0, APP.1])
        .args([CHAT, BLOCKED]);
    let results = printed(command).await;
    println!("{results}");
    // The library reads only the status 200, and not the sentence about the failure.
    assert_eq!(results["apprise sends to a retired connector"], true);
    let cards = teams.cards();
    assert_eq!((cards.len(), teams.failed_runs()), (2, 0));
    let mention = &cards[1]["attachments"][0]["content"]["msteams"]["entities"][0];
    assert_eq!(mention["mentioned"]["id"], PERSON);
    let activities = teams.activities();
    assert_eq!(activities[0].message["text"], "changed");
    assert!(activities.iter().all(|activity| activity.chat == CHAT));
    assert_eq!(teams.issued(), 1, "the library stores its token");

    // The desk sends the same kinds of messages.
    let libraries = traffic.of_libraries();
    teams.add_chat(OTHER_CHAT, None);
    let (client, message) = (client(), message());
    let workflow = account("teams_workflow");
    let secret = format!("{url}{}", teams.workflow_path());
    let outgoing = outgoing(&workflow, &secret, PERSON, &message);
    let response = sent(&client, codec("teams_workflow"), &outgoing).await;
    assert_eq!(
        shown(&codec("teams_workflow").verdict(&response)),
        "accepted"
    );
    let account = bot(&url);
    let token = granted(&client, &account, APP.1).await.expect("a token");
    let outgoing = to(&account, &message, OTHER_CHAT, &token.value);
    let response = sent(&client, codec("teams_bot"), &outgoing).await;
    let verdict = shown(&codec("teams_bot").verdict(&response));
    let id = verdict.strip_prefix("accepted ").expect("an id");
    let update = teams_bot::update(&outgoing, id).expect("a request");
    let response = Response::Http(client.send(&update).await);
    assert_eq!(shown(&codec("teams_bot").verdict(&response)), verdict);
    traffic.compare(&VENDOR, &libraries);
}

#[tokio::test]
async fn the_library_of_the_vendor_accepts_the_tokens_of_the_imitation() {
    let (teams, url) = start().await;
    let service = format!("{url}{SERVICE_PATH}");
    let token = teams.framework().bearer(&service);
    let mut command = Command::new(installed().join("teams/bin/python"));
    command
        .arg(root().join("tests/foreign/teams_token.py"))
        .args([url.as_str(), APP.0, service.as_str(), token.as_str()]);
    let results = printed(command).await;
    println!("{results}");
    assert_eq!(results["the token"], "accepted");
    assert_eq!(results["changed claims"], "refused");
    assert_eq!(teams.framework().reads(), 1, "the library caches the keys");
}

/// The desk checks the same token with the keys that it reads with its real HTTP client.
#[tokio::test]
async fn the_desk_accepts_the_tokens_of_the_imitation() {
    let (teams, url) = start().await;
    let client = client();
    let get = async |path: &str| {
        let request = HttpRequest::get(format!("{url}{path}"), TIMEOUT, 64 << 10);
        client.send(&request).await.expect("a response").body
    };
    let metadata: Value = serde_json::from_slice(&get(METADATA_PATH).await).expect("JSON");
    assert_eq!(metadata["jwks_uri"], format!("{url}{KEYS_PATH}"));
    let trusted = Trusted {
        app_id: APP.0.into(),
        issuer: metadata["issuer"].as_str().expect("an issuer").into(),
        keys: published(&get(KEYS_PATH).await).expect("keys"),
    };
    let service = format!("{url}{SERVICE_PATH}");
    let activity = bot_framework::said(&service, CHAT, "1", "ack REQ1").to_string();
    let token = teams.framework().bearer(&service);
    let headers = [("authorization".to_owned(), token)];
    let request = infra::inbound::Request {
        is_get: false,
        url: "",
        headers: &headers,
        query: &[],
        body: activity.as_bytes(),
        certificate: None,
    };
    let platform = infra::inbound::find("teams_bot").expect("the platform");
    let secret = serde_json::to_string(&trusted).expect("JSON");
    let verified = platform.verify(&request, &secret, SystemClock.now());
    let Ok(Verified::Message(message)) = verified else {
        panic!("{verified:?}")
    };
    assert_eq!(
        (message.user.as_str(), message.text.as_str()),
        (CHAT, "ack REQ1")
    );
}

#[tokio::test]
async fn the_desk_sends_messages_through_a_workflow_of_teams() {
    let (teams, url) = start().await;
    let (client, codec) = (client(), codec("teams_workflow"));
    let (account, message) = (account("teams_workflow"), message());
    let secret = format!("{url}{}", teams.workflow_path());
    let wrong = format!("{secret}x");
    let retired = secret.replace("/w1/", &format!("/{RETIRED}/"));
    let unknown = secret.replace("/w1/", "/w2/");
    let closed = format!("http://127.0.0.1:{}/?sig=s1", free_port());
    let verdict = async |secret: &str| {
        let outgoing = outgoing(&account, secret, PERSON, &message);
        shown(&codec.verdict(&sent(&client, codec, &outgoing).await))
    };
    for (secret, expected) in [
        (&secret, "accepted"),
        (&wrong, "credential DirectApiAuthorizationRequired"),
        (&unknown, "credential WorkflowNotFound"),
        // The status of this response is 200.
        (&retired, "throttled 60000"),
        (&closed, "retry"),
    ] {
        assert_eq!(codec.check_secret(secret), Ok(()));
        assert_eq!(verdict(secret).await, expected);
    }
    let cards = teams.cards();
    let [posted] = cards.as_slice() else {
        panic!("{cards:?}")
    };
    let card = &posted["attachments"][0]["content"];
    assert_eq!(card["actions"][0]["url"], "https://desk.example/act");
    assert_eq!(card["msteams"]["entities"][0]["mentioned"]["id"], PERSON);
    teams.switch_workflow(false);
    assert_eq!(
        verdict(&secret).await,
        "credential WorkflowTriggerIsNotEnabled"
    );
    teams.switch_workflow(true);
    let mut last = String::new();
    for _ in 0..MESSAGES_MAX {
        last = verdict(&secret).await;
        if last != "accepted" {
            break;
        }
    }
    let wait: Option<i64> = last
        .strip_prefix("throttled ")
        .and_then(|wait| wait.parse().ok());
    assert!(
        wait.is_some_and(|wait| (1_000..=60_000).contains(&wait)),
        "{last}"
    );
    assert_eq!((teams.cards().len(), teams.failed_runs()), (60, 0));
}

#[tokio::test]
async fn the_desk_sends_messages_through_a_bot_of_teams() {
    let (teams, url) = start().await;
    let (client, codec) = (client(), codec("teams_bot"));
    let (account, message) = (bot(&url), message());
    let refused = granted(&client, &account, "another-secret").await;
    assert_eq!(
        shown(&refused.expect_err("a verdict")),
        "credential 7000215"
    );
    assert_eq!(teams.issued(), 0);
    let token = granted(&client, &account, APP.1).await.expect("a token");
    assert_eq!(token.lifetime_ms, 3_599_000);
    let post = async |chat: &str, token: &str| {
        let response = sent(&client, codec, &to(&account, &message, chat, token)).await;
        (
            shown(&codec.verdict(&response)),
            codec.refuses_token(&response),
        )
    };
    for (chat, expected) in [
        (CHAT, "accepted 1:1"),
        (BLOCKED, "recipient_invalid BotNotInConversationRoster"),
        ("a:unknown", "recipient_invalid ConversationNotFound"),
    ] {
        assert_eq!(codec.check_address(chat), Ok(()));
        assert_eq!(post(chat, &token.value).await, (expected.to_owned(), false));
    }
    let changed = Content {
        subject: "已批准".into(),
        actions: Vec::new(),
        ..message.clone()
    };
    let update = to(&account, &changed, CHAT, &token.value);
    let request = teams_bot::update(&update, "1:1").expect("a request");
    let response = Response::Http(client.send(&request).await);
    assert_eq!(shown(&codec.verdict(&response)), "accepted 1:1");
    let activities = teams.activities();
    assert_eq!(activities.len(), 1, "the message was replaced");
    assert_eq!(activities[0].message["summary"], "已批准");
    // The login server makes the token invalid before it expires.
    teams.void_tokens();
    let refused = post(CHAT, &token.value).await;
    assert_eq!(refused, ("credential 401".to_owned(), true));
    let token = granted(&client, &account, APP.1).await.expect("a token");
    assert_eq!(post(CHAT, &token.value).await.0, "accepted 1:2");
    let activities = teams.activities();
    let button = &activities[1].message["attachments"][0]["content"]["actions"][0];
    assert_eq!(button["verb"], "approve");
    assert_eq!(button["data"], json!({ "value": "v1.signed" }));
    let mut last = String::new();
    for _ in 0..MESSAGES_MAX {
        (last, _) = post(CHAT, &token.value).await;
        if !last.starts_with("accepted") {
            break;
        }
    }
    assert!(last.starts_with("throttled "), "{last}");
}

#[tokio::test]
async fn the_package_of_the_vendor_reads_the_cards_of_the_desk() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("messages.json");
    let (mut nasty, mut large) = (message(), message());
    let text = "**[x](http://evil.example)** <at>all</at> {{DATE(2026-01-01T00:00:00Z)}} \"}]\\";
    nasty.subject = text.into();
    nasty.values = vec![(text.into(), text.into())];
    nasty.actions[0].label = text.into();
    large.values = vec![("标签".into(), "值".repeat(400)); 60];
    large.actions = vec![large.actions[0].clone(); 9];
    let (workflow, bot) = (account("teams_workflow"), bot("http://127.0.0.1:1"));
    let secret = "https://desk.logic.azure.com/workflows/w1?sig=s1";
    let mut messages = Vec::new();
    for content in [message(), nasty, large] {
        for (name, account, secret, to) in [
            ("teams_workflow", &workflow, secret, PERSON),
            ("teams_bot", &bot, APP.1, CHAT),
        ] {
            let outgoing = outgoing(account, secret, to, &content);
            let Ok(Request::Http(request)) = codec(name).request(&outgoing) else {
                panic!("a request")
            };
            messages.push(serde_json::from_slice::<Value>(&request.body).expect("JSON"));
        }
    }
    std::fs::write(&file, json!(messages).to_string()).expect("written");
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/foreign/teams_cards.mjs"))
        .arg(installed())
        .arg(&file);
    let read = printed(command).await;
    assert_eq!((&read["problems"], &read["cards"]), (&json!([]), &json!(6)));
    let types = [
        "Action.Execute",
        "Action.OpenUrl",
        "AdaptiveCard",
        "RichTextBlock",
        "TextBlock",
        "TextRun",
    ];
    assert_eq!(read["types"], json!(types));
    let opened = json!(["Action.OpenUrl", "批准", "https://desk.example/act"]);
    let pressed = json!(["Action.Execute", "批准", "approve"]);
    assert_eq!(
        (&read["buttons"][0], &read["buttons"][2]),
        (&opened, &pressed)
    );
}
