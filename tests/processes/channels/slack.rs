//! Slack: the library slack_sdk and the channels `slack` and `slack_webhook` send messages to the same imitation.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use domain::notification::content::{Action, Content};
use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::slack::{BURST, HOOK_CHANNEL, Slack};
use infra::channel::contract::{account, content, outgoing, shown};
use infra::channel::{Channel, Request, Response, find, slack};
use infra::clock::ManualClock;
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const TOKEN: &str = "xoxb-1-secret";
const HOOK: &str = "/services/T012/B012/secret";
const PERSON: &str = "U0000LISI";
const VENDOR: Vendor = Vendor {
    name: "Slack",
    paths: &["/services/*/*/*"],
    headers: &["authorization"],
    optional: &[],
    own: &[],
};

/// An imitation on a port of the loopback address, and a client that may send requests to it.
struct Workspace {
    slack: Arc<Slack>,
    traffic: Arc<Traffic>,
    clock: Arc<ManualClock>,
    base: String,
    client: Client,
}

impl Workspace {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::at(Moment(1_700_000_000_000)));
        let slack = Arc::new(Slack::new(TOKEN, HOOK, clock.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let traffic = Arc::new(Traffic::default());
        traffic.serve(listener, slack.clone().router());
        let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
        Self {
            slack,
            traffic,
            clock,
            base,
            client,
        }
    }

    /// Returns an account of the channel `slack`. If `channel` is empty, it sends direct messages.
    fn account(&self, channel: &str) -> Defined {
        let mut account = account("slack");
        let url = format!("{}/api", self.base);
        account.settings.insert("url".into(), url.into());
        if !channel.is_empty() {
            account.settings.insert("channel".into(), channel.into());
        }
        assert_eq!(codec("slack").check(&account), Ok(()));
        account
    }

    fn hook(&self) -> String {
        format!("{}{HOOK}", self.base)
    }

    async fn judged(&self, channel: &str, request: Request) -> String {
        let Request::Http(request) = request else {
            panic!("an HTTP request")
        };
        let response = Response::Http(self.client.send(&request).await);
        shown(&codec(channel).verdict(&response))
    }

    /// Sends a message to a person, and returns the verdict as a text.
    async fn send(&self, account: &Defined, secret: &str, to: &str, content: &Content) -> String {
        let request = codec(&account.channel).request(&outgoing(account, secret, to, content));
        self.judged(&account.channel, request.expect("a request"))
            .await
    }

    /// Runs the program with the library of Slack. Returns what it prints.
    async fn library(&self, files: &[String]) -> Value {
        let mut command = Command::new(installed().join("channels/bin/python"));
        command
            .arg(root().join("tests/foreign/slack_client.py"))
            .arg(format!("{}/api/", self.base))
            .args([TOKEN, &self.hook()])
            .args(files);
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
}

fn codec(channel: &str) -> &'static dyn Channel {
    find(channel).expect("the channel")
}

fn with_actions() -> Content {
    let action = |name: &str, is_primary| Action {
        name: name.into(),
        label: format!("按钮 {name}"),
        is_primary,
        url: format!("https://desk.example/confirm/{name}?a=1&b=2"),
        value: format!("v1.{name}.signature"),
    };
    Content {
        actions: vec![action("approve", true), action("refuse", false)],
        ..content()
    }
}

/// Returns a message in which every text is as long as possible and contains control sequences.
fn nasty() -> Content {
    let text = "<!channel> <@U000WANGWU> <https://evil.example|x> @here *b* & \"]}".repeat(60);
    let mut content = with_actions();
    content.subject.clone_from(&text);
    content.intro.clone_from(&text);
    content.closing.clone_from(&text);
    content.link.text.clone_from(&text);
    content.values = vec![(text.clone(), text.clone()); 40];
    content.actions[0].label = text;
    content
}

/// Writes the bodies of some messages to files, and returns the paths of the files.
fn bodies(workspace: &Workspace, folder: &Path) -> Vec<String> {
    let (direct, in_channel) = (workspace.account(""), workspace.account(HOOK_CHANNEL));
    let of_hook = account("slack_webhook");
    let hook = workspace.hook();
    let mut paths = Vec::new();
    for content in [content(), content().shortened(), with_actions(), nasty()] {
        for (account, secret) in [
            (&direct, TOKEN),
            (&in_channel, TOKEN),
            (&of_hook, hook.as_str()),
        ] {
            let outgoing = outgoing(account, secret, PERSON, &content);
            let Ok(Request::Http(request)) = codec(&account.channel).request(&outgoing) else {
                panic!("an HTTP request")
            };
            let path = folder.join(format!("{}.json", paths.len()));
            std::fs::write(&path, request.body).expect("written");
            paths.push(path.to_str().expect("a path").to_owned());
        }
    }
    paths
}

#[tokio::test]
async fn slack_and_its_own_library_agree_with_the_channel() {
    let workspace = Workspace::start().await;
    let folder = tempfile::tempdir().expect("a directory");
    let files = bodies(&workspace, folder.path());
    let printed = workspace.library(&files).await;
    println!("slack_sdk: {printed}");
    assert_eq!(printed["results"]["ratelimited"], 1, "{printed}");
    assert_eq!(printed["blocks"]["header"], files.len(), "{printed}");
    let channels = workspace.slack.channels();
    assert_eq!(channels[0].name, "req1-library");
    assert_eq!(channels[0].members, ["U000WANGWU"]);
    assert!(channels[0].is_archived, "{channels:?}");
    let before = workspace.slack.messages().len();
    let libraries = workspace.traffic.of_libraries();

    // A direct message with buttons is accepted, and then changed.
    workspace.clock.advance(60_000);
    let (direct, content) = (workspace.account(""), with_actions());
    let verdict = workspace.send(&direct, TOKEN, PERSON, &content).await;
    let message = verdict.strip_prefix("accepted ").expect("an id").to_owned();
    assert!(message.starts_with("D0000LISI/1700000060."), "{message}");
    let short = content.shortened();
    let update = slack::update(&outgoing(&direct, TOKEN, PERSON, &short), &message);
    let updated = workspace.judged("slack", update.expect("a request")).await;
    assert_eq!(updated, verdict);
    let messages = workspace.slack.messages();
    assert_eq!(messages.len(), before + 1);
    let newest = &messages[before];
    assert_eq!(newest["edited"], true);
    assert!(!newest.to_string().contains("action_id"), "{newest}");

    // Messages in a channel and through the webhook mention only the person.
    let controls = workspace.slack.controls().len();
    let in_channel = workspace.account(HOOK_CHANNEL);
    let verdict = workspace.send(&in_channel, TOKEN, PERSON, &nasty()).await;
    assert!(verdict.starts_with("accepted C000000OPS/"), "{verdict}");
    let of_hook = account("slack_webhook");
    let hook = workspace.hook();
    let verdict = workspace.send(&of_hook, &hook, PERSON, &nasty()).await;
    assert_eq!(verdict, "accepted");
    let link = "https://desk.example/tickets/REQ1";
    let expected = ["@U0000LISI", link, "@U0000LISI", link];
    assert_eq!(workspace.slack.controls()[controls..], expected);
    workspace.traffic.compare(&VENDOR, &libraries);
}

#[tokio::test]
async fn refused_messages_of_slack_are_not_accepted() {
    let workspace = Workspace::start().await;
    let content = content();
    for (channel, to, expected) in [
        ("", "U000NOBODY", "permanent channel_not_found"),
        ("", "U000000APP", "recipient_invalid cannot_dm_bot"),
        ("C000000OLD", PERSON, "permanent is_archived"),
        ("G00PRIVATE", PERSON, "permanent not_in_channel"),
        ("C0000NEWS0", PERSON, "permanent restricted_action"),
    ] {
        let account = workspace.account(channel);
        let verdict = workspace.send(&account, TOKEN, to, &content).await;
        assert_eq!(verdict, expected);
    }
    let direct = workspace.account("");
    let verdict = workspace.send(&direct, "xoxb-2", PERSON, &content).await;
    assert_eq!(verdict, "credential invalid_auth");
    let unknown = slack::update(&outgoing(&direct, TOKEN, PERSON, &content), "D1234/1.2");
    let verdict = workspace.judged("slack", unknown.expect("a request")).await;
    assert_eq!(verdict, "permanent message_not_found");
    let of_hook = account("slack_webhook");
    let wrong = format!("{}x", workspace.hook());
    let verdict = workspace.send(&of_hook, &wrong, PERSON, &content).await;
    assert_eq!(verdict, "credential no_service");
    assert_eq!(workspace.slack.messages(), Vec::<Value>::new());

    // Slack can post a message although it answers with an error.
    workspace.slack.answer_next("fatal_error");
    let verdict = workspace.send(&direct, TOKEN, PERSON, &content).await;
    assert_eq!(
        (verdict.as_str(), workspace.slack.messages().len()),
        ("unknown", 1)
    );
    workspace.slack.revoke();
    let verdict = workspace.send(&direct, TOKEN, PERSON, &content).await;
    assert_eq!(verdict, "credential token_revoked");
    let closed = Workspace {
        client: Client::new(Egress::default()).expect("a client"),
        ..workspace
    };
    let verdict = closed.send(&direct, TOKEN, PERSON, &content).await;
    assert_eq!(verdict, "retry", "the address is not in --egress");
}

#[tokio::test]
async fn too_many_messages_to_slack_wait_for_the_stated_time() {
    let workspace = Workspace::start().await;
    let (direct, of_hook) = (workspace.account(""), account("slack_webhook"));
    let (content, hook) = (content(), workspace.hook());
    for (account, secret) in [(&direct, TOKEN), (&of_hook, hook.as_str())] {
        let send = async || workspace.send(account, secret, PERSON, &content).await;
        for _ in 0..BURST {
            let verdict = send().await;
            assert!(verdict.starts_with("accepted"), "{verdict}");
        }
        assert_eq!(send().await, "throttled 1000");
        workspace.clock.advance(1_000);
        let verdict = send().await;
        assert!(verdict.starts_with("accepted"), "{verdict}");
    }
    let expected = 2 * (usize::try_from(BURST).expect("a small number") + 1);
    assert_eq!(workspace.slack.messages().len(), expected);
    let texts = workspace.slack.messages();
    assert!(
        texts
            .iter()
            .all(|one| one["text"] == json!(content.subject))
    );
}
