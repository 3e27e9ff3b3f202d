//! Chat groups: the desk creates and changes groups over HTTP at the imitations of the four platforms that have groups.

use std::sync::Arc;

use domain::notification::content::Content;
use events::Moment;
use events::channel_account::Defined;
use functions::cli::demo::fakes::dingtalk_app::groups::TEMPLATE;
use functions::cli::demo::fakes::dingtalk_app::{App, Platform};
use functions::cli::demo::fakes::feishu::Feishu;
use functions::cli::demo::fakes::slack::Slack;
use functions::cli::demo::fakes::wecom::{Accounts, Wecom};
use infra::channel::contract::{account, content, shown};
use infra::channel::group::{Call, Change, Outcome, outcome};
use infra::channel::{Access, Channel, find};
use infra::clock::ManualClock;
use infra::http::HttpClient as _;
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const ID: &str = "0123456789abcdef0123456789abcdef";
const NAME: &str = "REQ20261122000017 登录页异常";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Moment(1_800_000_000_000)))
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"))
}

/// An account of the desk that owns one group.
struct Owner {
    codec: &'static dyn Channel,
    account: Defined,
    secret: String,
    token: String,
    chat: String,
    client: Client,
}

impl Owner {
    /// Creates an account with the given settings. Gets an access token if the channel needs one.
    async fn new(channel: &str, settings: &Value, secret: &str) -> Self {
        let mut account = account(channel);
        let settings = settings.as_object().expect("settings").clone();
        account.settings.extend(settings);
        let codec = find(channel).expect("the channel");
        assert_eq!(codec.check(&account), Ok(()));
        let groups = codec.groups().expect("groups");
        assert_eq!(groups.check(&account), Ok(()));
        let client = Client::new(Egress::default().with_loopback(true)).expect("a client");
        let token = match codec.access(&account, secret, Moment(0)) {
            Ok(Access::Asked(request)) => {
                let token = codec.token(&client.send(&request).await);
                token.expect("a token").value
            }
            _ => String::new(),
        };
        Self {
            codec,
            account,
            secret: secret.to_owned(),
            token,
            chat: String::new(),
            client,
        }
    }

    async fn outcome(&self, change: Change<'_>) -> Outcome {
        let groups = self.codec.groups().expect("groups");
        let call = Call {
            account: &self.account,
            secret: &self.secret,
            token: &self.token,
            id: ID,
            ticket: "REQ20261122000017",
            chat: &self.chat,
            change,
        };
        let request = groups.request(&call).expect("a request");
        let response = self.client.send(&request).await;
        outcome(groups, &call, &response)
    }

    /// Makes a change. Returns its outcome as a short text.
    async fn change(&self, change: Change<'_>) -> String {
        match self.outcome(change).await {
            Outcome::Created { chat, .. } => format!("created {chat}"),
            Outcome::Elsewhere { cursor } => format!("elsewhere {cursor}"),
            Outcome::Done { refused, .. } => format!("done {}", refused.join(" ")),
            Outcome::Failed(verdict) => shown(&verdict),
        }
    }

    /// Creates the group, and stores its id for the further changes.
    async fn create(&mut self, people: &[&str]) {
        let change = Change::Create { name: NAME, people };
        let Outcome::Created { chat, .. } = self.outcome(change).await else {
            panic!("a group")
        };
        self.chat = chat;
    }

    /// Makes the changes after the creation: the person `leaver` leaves, the group gets another name and a message, and is
    /// closed. Returns the outcome of a change after the end.
    async fn live_and_end(&self, leaver: &str, content: &Content) -> String {
        assert_eq!(self.change(Change::Remove(&[leaver])).await, "done ");
        assert_eq!(self.change(Change::Rename("【已挂起】REQ1")).await, "done ");
        assert_eq!(self.change(Change::Send(content)).await, "done ");
        let close = Change::Close {
            name: "【已关闭】REQ1",
            keeps: false,
        };
        assert_eq!(self.change(close).await, "done ");
        self.change(Change::Rename("late")).await
    }
}

#[tokio::test]
async fn a_group_of_wecom_is_created_once_and_keeps_its_last_name() {
    let accounts = Accounts {
        robot: "key".into(),
        corpid: "ww1".into(),
        corpsecret: "s".into(),
        agentid: 7,
        members: vec!["lisi".into(), "zhangsan".into(), "wangwu".into()],
        unlicensed: Vec::new(),
        appid: "wx1".into(),
        secret: "p".into(),
        template_id: "tpl".into(),
        followers: Vec::new(),
        former: Vec::new(),
        per_day: 100,
    };
    let (listener, url) = listener().await;
    let wecom = Arc::new(Wecom::new(accounts, clock()));
    tokio::spawn(wecom.clone().serve(listener));
    let settings = json!({ "url": url, "agentid": 7, "group_owner": "wangwu" });
    let secret = r#"{"corpid":"ww1","corpsecret":"s"}"#;
    let mut owner = Owner::new("wecom_app", &settings, secret).await;
    owner.create(&["lisi", "zhangsan"]).await;
    assert_eq!(owner.chat, ID);
    let again = Change::Create {
        name: NAME,
        people: &["lisi", "zhangsan"],
    };
    assert_eq!(owner.change(again).await, format!("created {ID}"));
    let stranger = owner.change(Change::Add(&["stranger"])).await;
    assert_eq!(stranger, "recipient_invalid 40031");
    assert_eq!(owner.change(Change::Add(&["zhangsan"])).await, "done ");
    // WeCom has no interface that deletes a group.
    assert_eq!(owner.live_and_end("lisi", &content()).await, "done ");
    let groups = wecom.groups();
    let groups: Vec<_> = groups.all().values().collect();
    let [group] = groups.as_slice() else {
        panic!("{groups:?}")
    };
    assert_eq!(group.members, ["zhangsan", "wangwu"]);
    assert_eq!((group.owner.as_str(), group.messages.len()), ("wangwu", 1));
    wecom.void_tokens();
    let void = owner.change(Change::Rename("x")).await;
    assert_eq!(void, "credential 40014");
}

#[tokio::test]
async fn a_group_of_feishu_is_created_once_and_dissolved() {
    let (listener, url) = listener().await;
    let known = ["ou_1", "ou_2"];
    let feishu = Arc::new(Feishu::new("cli_a", "key", &known, clock()));
    tokio::spawn(feishu.clone().serve(listener));
    let secret = r#"{"app_id":"cli_a","app_secret":"key"}"#;
    let mut owner = Owner::new("feishu", &json!({ "url": url }), secret).await;
    owner.create(&[]).await;
    let again = Change::Create {
        name: NAME,
        people: &[],
    };
    let repeated = owner.change(again).await;
    assert_eq!(repeated, format!("created {}", owner.chat));
    let added = owner.change(Change::Add(&["ou_1", "ou_9", "ou_2"])).await;
    assert_eq!(added, "done ou_9");
    let late = owner.live_and_end("ou_2", &content()).await;
    assert_eq!(late, "permanent 232009");
    let groups = feishu.groups();
    let group = &groups[&owner.chat];
    assert_eq!((groups.len(), group.is_dissolved), (1, true));
    assert_eq!(group.members, ["ou_1"]);
    let messages = feishu.messages();
    assert_eq!(messages[0]["receive_id"], owner.chat.as_str());
}

#[tokio::test]
async fn a_group_of_dingtalk_is_created_once_and_disbanded() {
    let app = App {
        key: "k".into(),
        secret: "s".into(),
        robot: "r".into(),
        agent: 1,
        template: "t".into(),
        people: vec!["boss".into(), "lisi".into(), "zhangsan".into()],
    };
    let (listener, url) = listener().await;
    let platform = Arc::new(Platform::new(app, clock()));
    tokio::spawn(platform.clone().serve(listener));
    let settings = json!({
        "url": url, "robot_code": "r", "group_template_id": TEMPLATE, "group_owner": "boss",
    });
    let secret = r#"{"app_key":"k","app_secret":"s"}"#;
    let mut owner = Owner::new("dingtalk_app", &settings, secret).await;
    owner.create(&[]).await;
    let again = Change::Create {
        name: NAME,
        people: &[],
    };
    let repeated = owner.change(again).await;
    assert_eq!(repeated, format!("created {}", owner.chat));
    let stranger = owner.change(Change::Add(&["lisi", "stranger"])).await;
    assert_eq!(stranger, "recipient_invalid member.notFound");
    let people = Change::Add(&["lisi", "zhangsan"]);
    assert_eq!(owner.change(people).await, "done ");
    let late = owner.live_and_end("lisi", &content()).await;
    assert_eq!(late, "permanent conversation.notFound");
    let groups = platform.groups();
    let group = &groups[&owner.chat];
    assert_eq!((groups.len(), group.is_disbanded), (1, true));
    assert_eq!(group.members, ["boss", "zhangsan"]);
    assert_eq!(group.messages.len(), 1);
}

#[tokio::test]
async fn a_channel_of_slack_is_found_again_and_archived() {
    let (listener, url) = listener().await;
    let slack = Arc::new(Slack::new("xoxb-1", "/hook", clock()));
    tokio::spawn(slack.clone().serve(listener));
    let settings = json!({ "url": format!("{url}/api") });
    let mut owner = Owner::new("slack", &settings, "xoxb-1").await;
    owner.create(&[]).await;
    // The name is taken by the channel of the first attempt, which the desk finds in the list.
    let again = Change::Create {
        name: NAME,
        people: &[],
    };
    assert_eq!(owner.change(again).await, "elsewhere ");
    let found = owner.change(Change::Find { cursor: "" }).await;
    assert_eq!(found, format!("created {}", owner.chat));
    let people = ["U0000LISI", "U000NOBODY", "U000WANGWU"];
    let added = owner.change(Change::Add(&people)).await;
    assert_eq!(added, "done U000NOBODY");
    let member = owner.change(Change::Add(&people[..1])).await;
    assert_eq!(member, "done ", "a member can be added again");
    let late = owner.live_and_end("U0000LISI", &content()).await;
    assert_eq!(late, "permanent is_archived");
    let channels = slack.channels();
    let [channel] = channels.as_slice() else {
        panic!("{channels:?}")
    };
    assert_eq!(channel.name, "req20261122000017-01234567");
    assert_eq!(channel.topic, "【已挂起】REQ1");
    assert_eq!(channel.members, ["U000WANGWU"]);
    assert!(channel.is_archived);
    assert_eq!(slack.messages().len(), 1);
    slack.revoke();
    let revoked = owner.change(Change::Rename("x")).await;
    assert_eq!(revoked, "credential token_revoked");
}
