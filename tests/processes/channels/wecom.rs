//! These tests use an imitation of WeCom and of a public account of WeChat with the PyPI packages wechatpy and apprise, and
//! with the three channels of the desk.

use std::process::Command;
use std::sync::Arc;

use domain::attempt::Verdict;
use domain::notification::content::{Action, Content};
use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::wecom::{Accounts, ROBOT, Wecom};
use infra::channel::contract::{account, content, outgoing, shown};
use infra::channel::{Access, Channel, Outgoing, Request, Response, Token, find};
use infra::clock::ManualClock;
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::root;
use tokio::net::TcpListener;

use super::traffic::{Traffic, Vendor};

const ROBOT_KEY: &str = "693a91f6-7bbb-4bc4-97a0-0ec2f1f5aaaa";
const APP_SECRET: &str = r#"{"corpid":"ww1","corpsecret":"app-secret"}"#;
const PUBLIC_SECRET: &str = r#"{"appid":"wx1","secret":"public-secret"}"#;
/// Number of messages in one day. The client libraries use less than half of it.
const PER_DAY: usize = 60;
/// Number of calls that the client libraries make.
const CALLS: u64 = 40;
/// The headers of WeCom and WeChat have no meaning, because the tokens are in the queries.
const VENDOR: Vendor = Vendor {
    name: "WeCom and WeChat",
    paths: &[],
    headers: &["authorization"],
    optional: &[],
    own: &[],
};

fn accounts() -> Accounts {
    Accounts {
        robot: ROBOT_KEY.into(),
        corpid: "ww1".into(),
        corpsecret: "app-secret".into(),
        agentid: 1_000_002,
        members: vec!["lisi".into(), "zhangsan".into()],
        unlicensed: vec!["wangwu".into()],
        appid: "wx1".into(),
        secret: "public-secret".into(),
        template_id: "tpl_1".into(),
        followers: vec!["oFollower-1".into()],
        former: vec!["oFormer-1".into()],
        per_day: PER_DAY,
    }
}

/// An imitation that listens, with its clock and the client with which the desk sends requests.
struct Platform {
    wecom: Arc<Wecom>,
    traffic: Arc<Traffic>,
    clock: Arc<ManualClock>,
    url: String,
    client: Client,
}

impl Platform {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::at(Moment(1_800_000_000_000)));
        let wecom = Arc::new(Wecom::new(accounts(), clock.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let traffic = Arc::new(Traffic::default());
        traffic.serve(listener, wecom.clone().router());
        Self {
            wecom,
            traffic,
            clock,
            url: format!("http://{address}"),
            client: Client::new(Egress::default().with_loopback(true)).expect("a client"),
        }
    }

    /// Returns an account of the channel that sends to the imitation.
    fn account(&self, channel: &str, path: &str, settings: &[(&str, Value)]) -> Defined {
        let mut account = account(channel);
        let url = format!("{}{path}", self.url);
        account.settings.insert("url".into(), url.into());
        for (key, value) in settings {
            account.settings.insert((*key).into(), value.clone());
        }
        let codec = find(channel).expect("a channel");
        codec.check(&account).expect("valid settings");
        account
    }

    /// Sends one message with the codec of its channel. Returns the verdict as a text, and whether the token was refused.
    async fn send(&self, outgoing: &Outgoing<'_>) -> (String, bool) {
        let codec = find(&outgoing.account.channel).expect("a channel");
        let Ok(Request::Http(request)) = codec.request(outgoing) else {
            panic!("a request")
        };
        let response = self.client.send(&request).await;
        if let Ok(response) = &response {
            assert_eq!(response.status, 200, "a refusal has this status too");
        }
        let response = Response::Http(response);
        let verdict = shown(&codec.verdict(&response));
        (verdict, codec.refuses_token(&response))
    }

    async fn token(
        &self,
        codec: &dyn Channel,
        account: &Defined,
        secret: &str,
    ) -> Result<Token, Verdict> {
        let Ok(Access::Asked(request)) = codec.access(account, secret, Moment(0)) else {
            panic!("a request for a token")
        };
        codec.token(&self.client.send(&request).await)
    }
}

async fn use_client_libraries(platform: &Platform) {
    let accounts = accounts();
    let given = json!({
        "robot": accounts.robot, "corpid": accounts.corpid, "corpsecret": accounts.corpsecret,
        "agentid": accounts.agentid, "members": accounts.members, "unlicensed": accounts.unlicensed,
        "appid": accounts.appid, "secret": accounts.secret, "template_id": accounts.template_id,
        "followers": accounts.followers, "former": accounts.former,
    });
    let mut command = Command::new(installed().join("channels/bin/python"));
    command
        .arg(root().join("tests/foreign/wecom_client.py"))
        .arg(&platform.url)
        .arg(given.to_string());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let result: Value = serde_json::from_str(printed.trim()).expect("JSON");
    assert_eq!(result["calls"], CALLS, "{result}");
    let accepted = platform.wecom.accepted();
    let counts = (
        accepted.app.len(),
        accepted.public.len(),
        accepted.robot.len(),
    );
    assert_eq!(counts, (6, 1, 20), "{accepted:?}");
    assert_eq!(accepted.app[1]["text"]["content"], "工单 <b>");
    assert_eq!(accepted.app[5]["text"]["content"], "from apprise");
    assert_eq!(accepted.robot[0]["text"]["content"], "from apprise");
    let groups = platform.wecom.groups();
    let group = &groups.all()["wechatpy1"];
    assert_eq!(group.members, ["lisi", "zhangsan"]);
    assert_eq!((group.name.as_str(), group.messages.len()), ("new", 2));
}

async fn robot_messages_are_accepted_or_refused(platform: &Platform) {
    let account = platform.account("wecom_robot", ROBOT, &[]);
    let content = content();
    let message = outgoing(&account, ROBOT_KEY, "lisi", &content);
    // The client libraries have used the limit of this minute.
    assert_eq!(platform.send(&message).await.0, "throttled 60000");
    platform.clock.advance(60_000);
    for _ in 0..20 {
        assert_eq!(platform.send(&message).await.0, "accepted");
    }
    assert_eq!(platform.send(&message).await.0, "throttled 60000");
    let wrong = outgoing(&account, "another-key", "lisi", &content);
    assert_eq!(platform.send(&wrong).await.0, "credential 93000");
    let accepted = platform.wecom.accepted().robot;
    assert_eq!(accepted.len(), 40);
    assert_eq!(accepted[39]["text"]["mentioned_list"], json!(["lisi"]));
    // A message that is much too large is shortened to the limit.
    platform.clock.advance(60_000);
    let mut large = content.clone();
    large.values = vec![("字段".into(), "值".repeat(400)); 50];
    for format in ["text", "markdown"] {
        let settings = [("format", json!(format))];
        let account = platform.account("wecom_robot", ROBOT, &settings);
        let message = outgoing(&account, ROBOT_KEY, "lisi", &large);
        assert_eq!(platform.send(&message).await.0, "accepted", "{format}");
    }
}

async fn app_messages_are_accepted_or_refused(platform: &Platform) {
    let codec = find("wecom_app").expect("the channel");
    let settings = [("agentid", json!(1_000_002)), ("buttons", json!(true))];
    let account = platform.account("wecom_app", "", &settings);
    let wrong = r#"{"corpid":"ww1","corpsecret":"x"}"#;
    let refused = platform.token(codec, &account, wrong).await;
    assert_eq!(
        refused.map_err(|verdict| shown(&verdict)),
        Err("credential 40001".into())
    );
    let token = platform.token(codec, &account, APP_SECRET).await;
    let token = token.expect("a token");
    assert!(token.lifetime_ms > 7_000_000, "{token:?}");
    let plain = content();
    let message = |to: &'static str, id: &'static str| Outgoing {
        token: &token.value,
        id,
        ..outgoing(&account, APP_SECRET, to, &plain)
    };
    let (before, verdict) = (
        platform.wecom.accepted(),
        platform.send(&message("lisi", "d1")).await.0,
    );
    assert!(verdict.starts_with("accepted msg-"), "{verdict}");
    // A further attempt of the same delivery is not sent again, but another delivery with the same text is sent.
    assert_eq!(platform.send(&message("lisi", "d1")).await.0, verdict);
    let other = platform.send(&message("lisi", "d2")).await.0;
    assert_ne!(other, verdict);
    let after = platform.wecom.accepted();
    assert_eq!(after.app.len(), before.app.len() + 2);
    assert_eq!(after.repeated, before.repeated + 1);
    for (to, expected) in [
        ("nobody", "recipient_invalid 81013"),
        ("wangwu", "recipient_invalid unlicenseduser"),
    ] {
        assert_eq!(platform.send(&message(to, "d3")).await.0, expected);
    }
    assert_eq!(platform.wecom.accepted().app.len(), after.app.len());

    // The platform voids the token, and the new token is accepted.
    platform.wecom.void_tokens();
    let void = platform.send(&message("lisi", "d4")).await;
    assert_eq!(void, ("credential 40014".to_owned(), true));
    let token = platform.token(codec, &account, APP_SECRET).await;
    let token = token.expect("a token");
    let buttons = Content {
        actions: vec![Action {
            name: "approve".into(),
            label: "同意".into(),
            is_primary: true,
            url: "https://desk.example/approve".into(),
            value: "signed-value".into(),
        }],
        ..content()
    };
    let message = Outgoing {
        token: &token.value,
        ..outgoing(&account, APP_SECRET, "lisi", &buttons)
    };
    let (verdict, is_refused) = platform.send(&message).await;
    assert!(verdict.starts_with("accepted code-"), "{verdict}");
    assert!(!is_refused);
    let accepted = platform.wecom.accepted().app;
    let card = &accepted.last().expect("a message")["template_card"];
    assert_eq!(card["button_list"][0]["key"], "signed-value");

    // At the end of the limit for one day, messages are refused because of the rate.
    let mut number = 0;
    let verdict = loop {
        let id = format!("day-{number}");
        let message = Outgoing {
            token: &token.value,
            id: &id,
            ..outgoing(&account, APP_SECRET, "zhangsan", &plain)
        };
        let (verdict, _) = platform.send(&message).await;
        number += 1;
        if !verdict.starts_with("accepted") || number > PER_DAY {
            break verdict;
        }
    };
    assert_eq!(verdict, "throttled 60000");
}

async fn public_messages_are_accepted_or_refused(platform: &Platform) {
    let codec = find("public_account").expect("the channel");
    let settings = [("template_id", json!("tpl_1"))];
    let account = platform.account("public_account", "", &settings);
    let wrong = r#"{"appid":"wx1","secret":"x"}"#;
    let refused = platform.token(codec, &account, wrong).await;
    assert_eq!(
        refused.map_err(|verdict| shown(&verdict)),
        Err("credential 40125".into())
    );
    let token = platform.token(codec, &account, PUBLIC_SECRET).await;
    let token = token.expect("a token");
    let content = content();
    let message = |to: &'static str| Outgoing {
        token: &token.value,
        ..outgoing(&account, PUBLIC_SECRET, to, &content)
    };
    let verdict = platform.send(&message("oFollower-1")).await.0;
    assert!(verdict.starts_with("accepted "), "{verdict}");
    assert_eq!(platform.send(&message("oFollower-1")).await.0, verdict);
    assert_eq!(platform.wecom.accepted().public.len(), 2, "sent once");
    for (to, expected) in [
        ("oFormer-1", "recipient_invalid 43004"),
        ("oOther", "recipient_invalid 40003"),
    ] {
        assert_eq!(platform.send(&message(to)).await.0, expected);
    }
    let settings = [("template_id", json!("tpl_2"))];
    let other = platform.account("public_account", "", &settings);
    let message = Outgoing {
        token: &token.value,
        ..outgoing(&other, PUBLIC_SECRET, "oFollower-1", &content)
    };
    assert_eq!(platform.send(&message).await.0, "permanent 40037");
    platform.wecom.void_tokens();
    let void = platform.send(&message).await;
    assert_eq!(void, ("credential 40014".to_owned(), true));
}

#[tokio::test]
async fn wecom_accepts_messages_of_client_libraries_and_of_the_desk() {
    let platform = Platform::start().await;
    use_client_libraries(&platform).await;
    let libraries = platform.traffic.of_libraries();
    robot_messages_are_accepted_or_refused(&platform).await;
    public_messages_are_accepted_or_refused(&platform).await;
    app_messages_are_accepted_or_refused(&platform).await;
    platform.traffic.compare(&VENDOR, &libraries);
    let closed = Client::new(Egress::default()).expect("a client");
    let account = platform.account("wecom_robot", ROBOT, &[]);
    let content = content();
    let codec = find("wecom_robot").expect("the channel");
    let Ok(Request::Http(request)) =
        codec.request(&outgoing(&account, ROBOT_KEY, "lisi", &content))
    else {
        panic!("a request")
    };
    let response = Response::Http(closed.send(&request).await);
    assert_eq!(shown(&codec.verdict(&response)), "retry");
}
