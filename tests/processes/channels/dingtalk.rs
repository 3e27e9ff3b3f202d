//! DingTalk: the custom robot of a group, the robot of an app, work notices and interactive cards.

use std::process::Command;
use std::sync::Arc;

use functions::cli::demo::fakes::dingtalk::{PATH, Robot};
use functions::cli::demo::fakes::dingtalk_app::{App, Platform};
use infra::channel::contract::{account, content, outgoing, shown};
use infra::channel::{Access, Channel, Outgoing, Request, Response, find};
use infra::clock::{Clock as _, ManualClock, SystemClock};
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const TOKEN: &str = "robottoken";
const ROBOT_SECRET: &str = "SECrobot";
const KEY: &str = "dingkey";
const SECRET: &str = "app-secret";
const ROBOT: &str = "dingrobot";
const AGENT: u64 = 4_220;
const TEMPLATE: &str = "template.schema";
const PERSON: &str = "dt-lisi";
/// Number of messages that a robot of a group accepts in one minute.
const PER_MINUTE: usize = 20;
/// Number of requests that one interface accepts in one second.
const PER_SECOND: usize = 20;
const OF_ROBOT: Vendor = Vendor {
    name: "DingTalk, robot of a group",
    paths: &[],
    headers: &["authorization"],
    optional: &[(
        "POST /robot/send",
        "member at.atMobiles",
        "the desk mentions people by their ids, in `at.atUserIds`",
    )],
    own: &[],
};
const OF_APP: Vendor = Vendor {
    name: "DingTalk, app",
    paths: &[],
    headers: &["authorization", "x-acs-dingtalk-access-token"],
    optional: &[],
    own: &[],
};

/// The imitations, with their URLs.
struct Services {
    robot: Arc<Robot>,
    robot_url: String,
    to_robot: Arc<Traffic>,
    platform: Arc<Platform>,
    url: String,
    to_platform: Arc<Traffic>,
    /// The clock of the platform. The robot uses the clock of the machine, because apprise signs with this clock.
    clock: Arc<ManualClock>,
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"))
}

impl Services {
    async fn start() -> Self {
        let (for_robot, robot_url) = listener().await;
        let robot = Arc::new(Robot::new(TOKEN, ROBOT_SECRET, Arc::new(SystemClock)));
        let to_robot = Arc::new(Traffic::default());
        to_robot.serve(for_robot, robot.clone().router());
        let (for_platform, url) = listener().await;
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let app = App {
            key: KEY.into(),
            secret: SECRET.into(),
            robot: ROBOT.into(),
            agent: AGENT,
            template: TEMPLATE.into(),
            people: vec![PERSON.into()],
        };
        let platform = Arc::new(Platform::new(app, clock.clone()));
        let to_platform = Arc::new(Traffic::default());
        to_platform.serve(for_platform, platform.clone().router());
        Self {
            robot,
            robot_url: format!("{robot_url}{PATH}"),
            to_robot,
            platform,
            url,
            to_platform,
            clock,
        }
    }

    /// Runs the program with the client library for the robot of a group. Returns what it prints.
    async fn library_of_group(&self) -> Value {
        printed(&["group", &self.robot_url, TOKEN, ROBOT_SECRET]).await
    }

    /// Runs the program with the client libraries for an app.
    async fn library_of_app(&self) -> Value {
        let agent = AGENT.to_string();
        printed(&[
            "app", &self.url, KEY, SECRET, ROBOT, &agent, TEMPLATE, PERSON,
        ])
        .await
    }
}

/// Runs the program with client libraries of other projects. Returns what it prints.
async fn printed(arguments: &[&str]) -> Value {
    let mut command = Command::new(installed().join("channels/bin/python"));
    command
        .arg(root().join("tests/foreign/dingtalk_client.py"))
        .args(arguments);
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

/// A channel account of the desk, with what it needs to send messages.
struct Sender {
    channel: &'static dyn Channel,
    account: events::channel_account::Defined,
    secret: String,
    token: String,
    http: Client,
}

impl Sender {
    fn new(channel: &str, settings: &Value, secret: &Value) -> Self {
        let mut account = account(channel);
        let settings = settings.as_object().expect("settings").clone();
        account.settings.extend(settings);
        let channel = find(channel).expect("a channel");
        assert_eq!(channel.check(&account), Ok(()));
        let secret = secret.to_string();
        assert_eq!(channel.check_secret(&secret), Ok(()));
        Self {
            channel,
            account,
            secret,
            token: String::new(),
            http: Client::new(Egress::default().with_loopback(true)).expect("a client"),
        }
    }

    /// Gets an access token. Returns the verdict as text if the provider grants no token.
    async fn authorize(&mut self) -> Result<(), String> {
        let now = SystemClock.now();
        let access = self.channel.access(&self.account, &self.secret, now);
        let Ok(Access::Asked(request)) = access else {
            panic!("a request for a token")
        };
        let response = self.http.send(&request).await;
        let token = self.channel.token(&response);
        self.token = token.map_err(|verdict| shown(&verdict))?.value;
        Ok(())
    }

    /// Sends the test message. Returns the verdict as text, and whether the provider refused the token.
    async fn send(&self, to: &str, id: &str) -> (String, bool) {
        let content = content();
        let outgoing = Outgoing {
            token: &self.token,
            id,
            now: SystemClock.now(),
            ..outgoing(&self.account, &self.secret, to, &content)
        };
        let Ok(Request::Http(request)) = self.channel.request(&outgoing) else {
            panic!("a request")
        };
        let response = Response::Http(self.http.send(&request).await);
        let verdict = self.channel.verdict(&response);
        (shown(&verdict), self.channel.refuses_token(&response))
    }
}

fn app_secret(secret: &str) -> Value {
    json!({ "app_key": KEY, "app_secret": secret })
}

/// Returns the accounts that send through an app, each with its kind at the imitation.
fn app_senders(url: &str, secret: &str) -> [(Sender, &'static str); 3] {
    let secret = app_secret(secret);
    let robot = json!({ "url": url, "robot_code": ROBOT });
    let notice = json!({ "url": url, "agent_id": AGENT });
    let card = json!({
        "url": url, "robot_code": ROBOT, "card_template_id": TEMPLATE, "callback_route_key": "desk",
    });
    [
        (Sender::new("dingtalk_app", &robot, &secret), "robot"),
        (Sender::new("dingtalk_notice", &notice, &secret), "notice"),
        (Sender::new("dingtalk_card", &card, &secret), "card"),
    ]
}

#[tokio::test]
async fn the_robot_of_a_group_accepts_a_library_and_the_desk() {
    let services = Services::start().await;
    let printed = services.library_of_group().await;
    assert_eq!(printed["calls"], 4, "{printed}");
    // apprise reports every message as sent. The first one has a signature that is encoded twice.
    assert_eq!(services.robot.refused(), [310_000, 310_000, 300_001]);
    assert_eq!(services.robot.accepted().len(), 1);
    let libraries = services.to_robot.of_libraries();

    let secret = |secret: &str| json!({ "access_token": TOKEN, "secret": secret });
    let settings = json!({ "url": services.robot_url });
    let wrong = Sender::new("dingtalk_robot", &settings, &secret("SECother"));
    assert_eq!(wrong.send(PERSON, "0").await.0, "credential 310000");
    let right = Sender::new("dingtalk_robot", &settings, &secret(ROBOT_SECRET));
    assert_eq!(right.send(PERSON, "0").await.0, "accepted");
    let accepted = services.robot.accepted();
    let text = accepted[1]["markdown"]["text"].as_str().expect("a text");
    assert!(text.contains(&format!("@{PERSON} ")), "{text}");
    let mut limited = String::new();
    for _ in 0..=PER_MINUTE {
        limited = right.send(PERSON, "0").await.0;
        if limited != "accepted" {
            break;
        }
    }
    assert_eq!(limited, "throttled 600000");
    assert!(services.robot.refused().ends_with(&[310_000, 130_101]));
    services.to_robot.compare(&OF_ROBOT, &libraries);
}

#[tokio::test]
async fn an_app_accepts_a_library_and_the_desk() {
    let services = Services::start().await;
    let printed = services.library_of_app().await;
    assert!(printed["calls"].as_u64() > Some(20), "{printed}");
    let mut library: Vec<&str> = services
        .platform
        .accepted()
        .iter()
        .map(|one| one.kind)
        .collect();
    library.dedup();
    assert_eq!(library, ["robot", "card", "notice"]);
    let groups = services.platform.groups();
    let groups: Vec<_> = groups.values().collect();
    let [group] = groups.as_slice() else {
        panic!("{groups:?}")
    };
    assert_eq!((group.name.as_str(), group.messages.len()), ("new", 1));
    assert!(group.is_disbanded, "{group:?}");
    let libraries = services.to_platform.of_libraries();
    // The clock of the platform does not move by itself, so the library reached the limits of this second.
    services.clock.advance(60_000);

    for (mut sender, kind) in app_senders(&services.url, "wrong") {
        let refused = sender.authorize().await.expect_err("no token");
        assert!(refused.starts_with("credential "), "{kind}: {refused}");
        let (verdict, is_refused) = sender.send(PERSON, "0").await;
        assert!(verdict.starts_with("credential "), "{kind}: {verdict}");
        // The older interface and the newer ones refuse the empty token with different codes.
        assert_eq!(is_refused, kind == "notice", "{kind}");
    }
    // The test forced these requests. The desk itself sends none without a token, and no library does.
    drop(services.to_platform.of_libraries());
    for (mut sender, kind) in app_senders(&services.url, SECRET) {
        services.clock.advance(1_000);
        assert_eq!(sender.authorize().await, Ok(()));
        let before = services.platform.accepted().len();
        let (verdict, _) = sender.send(PERSON, "0123456789").await;
        let accepted = services.platform.accepted();
        assert_eq!(accepted.len(), before + 1, "{kind}: {verdict}");
        let newest = accepted.last().expect("a message");
        assert_eq!((newest.kind, newest.is_delivered), (kind, true));
        assert_eq!(verdict, format!("accepted {}", newest.id), "{kind}");

        // The response has HTTP status 200.
        let (verdict, _) = sender.send("nobody", "1").await;
        assert!(
            verdict.starts_with("recipient_invalid "),
            "{kind}: {verdict}"
        );
        assert_eq!(services.platform.accepted().len(), before + 1);

        // The provider does not accept the token any more, and the desk gets a new one.
        services.platform.forget_tokens();
        let (verdict, is_refused) = sender.send(PERSON, "2").await;
        assert!(verdict.starts_with("credential "), "{kind}: {verdict}");
        assert!(is_refused, "{kind}");
        let issued = services.platform.tokens_issued();
        assert_eq!(sender.authorize().await, Ok(()));
        assert_eq!(services.platform.tokens_issued(), issued + 1);

        let mut limited = String::new();
        for number in 0..=PER_SECOND {
            limited = sender.send(PERSON, &format!("{number}-again")).await.0;
            if !limited.starts_with("accepted") {
                break;
            }
        }
        assert_eq!(limited, "throttled 60000", "{kind}");
    }
    let limits = ["90018", "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"];
    let refused = services.platform.refused();
    for code in limits {
        assert!(refused.iter().any(|one| one == code), "{code}: {refused:?}");
    }
    services.to_platform.compare(&OF_APP, &libraries);
}

#[tokio::test]
async fn a_repeated_work_notice_reaches_the_person_once() {
    let services = Services::start().await;
    let [_, (mut sender, _), _] = app_senders(&services.url, SECRET);
    assert_eq!(sender.authorize().await, Ok(()));
    for id in ["0123456789", "0123456789", "0223456789"] {
        let (verdict, _) = sender.send(PERSON, id).await;
        assert!(verdict.starts_with("accepted "), "{verdict}");
    }
    let accepted = services.platform.accepted();
    let delivered: Vec<bool> = accepted.iter().map(|one| one.is_delivered).collect();
    assert_eq!(delivered, [true, false, true]);
    assert!(sender.channel.may_repeat());
}
