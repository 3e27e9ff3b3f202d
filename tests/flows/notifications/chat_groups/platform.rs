//! A desk whose account for chat groups sends to an imitated platform in the same process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use functions::cli::demo::fakes::dingtalk_app::groups::TEMPLATE;
use functions::cli::demo::fakes::dingtalk_app::{self, App};
use functions::cli::demo::fakes::feishu::Feishu;
use functions::cli::demo::fakes::feishu::groups::CHATS;
use functions::cli::demo::fakes::slack::Slack;
use functions::cli::demo::fakes::wecom::groups::Group;
use functions::cli::demo::fakes::wecom::{Accounts, Wecom};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::notifications::Channels;

const WECOM: &str = r#"
    [[account]]
    name = "work_app"
    channel = "wecom_app"
    url = "http://wecom.example"
    agentid = 7
"#;
const SLACK: &str = r#"
    [[account]]
    name = "work_app"
    channel = "slack"
    url = "http://slack.example/api"
"#;
const FEISHU: &str = r#"
    [[account]]
    name = "work_app"
    channel = "feishu"
    url = "http://feishu.example"
"#;
/// The address to which the desk sends the answers to messages in groups of DingTalk.
pub(super) const SESSION: &str = "http://dingtalk.example/session";
const APP_SECRET: &str = r#"{"corpid":"ww1","corpsecret":"s"}"#;
const BOT_TOKEN: &str = "xoxb-test";
const FORM: &str = "application/x-www-form-urlencoded";
/// A user id of WeCom that is no user name of the desk.
pub(super) const ADDRESS: &str = "wx-zhaoliu-4711";

/// What happens to a request about a group.
pub(super) enum Fault {
    Passes,
    /// The platform makes the change, but its response is lost.
    LostResponse,
    /// WeCom refuses the request with this code.
    Code(i64),
}

pub(super) enum Fake {
    Wecom(Box<Wecom>),
    Slack(Box<Slack>),
    Feishu(Box<Feishu>),
    Dingtalk(Box<dingtalk_app::Platform>),
}

/// An HTTP client that passes each request to an imitated platform in the same process.
pub(super) struct Platform {
    pub(super) fake: Fake,
    /// What happens to the next requests about groups.
    faults: Mutex<VecDeque<Fault>>,
    /// The names of the interfaces for groups that were called, in order.
    calls: Mutex<Vec<String>>,
    /// The bodies of the requests to [`SESSION`].
    answers: Mutex<Vec<Value>>,
}

impl Platform {
    fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let (url, query) = request
            .url
            .split_once('?')
            .unwrap_or((request.url.as_str(), ""));
        let header = |name: &str| {
            let mut headers = request.headers.iter();
            let found = headers.find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        match &self.fake {
            Fake::Wecom(wecom) => {
                let path = url.trim_start_matches("http://wecom.example");
                let answer = wecom.respond(path, query, &request.body);
                HttpResponse::of(200, answer.to_string().as_bytes())
            }
            Fake::Slack(slack) => {
                let method = url.rsplit('/').next().unwrap_or_default();
                let token = header("authorization");
                let reply = if query.is_empty() {
                    slack.call(method, token, header("content-type"), &request.body)
                } else {
                    slack.call(method, token, FORM, query.as_bytes())
                };
                HttpResponse::of(reply.status, reply.body.as_bytes())
            }
            Fake::Feishu(feishu) => {
                let path = url.trim_start_matches("http://feishu.example");
                let (token, body) = (header("authorization"), request.body.as_slice());
                let message = path.strip_prefix("/open-apis/im/v1/messages");
                let answered = message.map(|rest| rest.split_once("/reply"));
                let answer = match answered {
                    Some(Some((message, _))) => {
                        feishu.reply(token, message.trim_start_matches('/'), body)
                    }
                    Some(None) => feishu.send(token, query, body),
                    None if path.starts_with(CHATS) => {
                        feishu.change_group(&request.method, path, query, token, body)
                    }
                    None => feishu.token(body),
                };
                HttpResponse::of(answer.status, answer.body.to_string().as_bytes())
            }
            Fake::Dingtalk(_) if url == SESSION => {
                let body = serde_json::from_slice(&request.body).expect("JSON");
                self.answers.lock().expect("no holder panics").push(body);
                HttpResponse::of(200, br#"{"errcode":0,"errmsg":"ok"}"#)
            }
            Fake::Dingtalk(dingtalk) => {
                let (status, body) = dingtalk.respond(dingtalk_app::Request {
                    path: url.trim_start_matches("http://dingtalk.example"),
                    query,
                    token: header("x-acs-dingtalk-access-token"),
                    body: &request.body,
                });
                HttpResponse::of(status, body.to_string().as_bytes())
            }
        }
    }

    /// Returns the texts that the desk sent to a group, the oldest first.
    pub(super) fn texts(&self, chat: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match &self.fake {
            Fake::Wecom(_) => panic!("WeCom reports no messages of groups"),
            Fake::Slack(slack) => {
                let messages = slack.messages().into_iter();
                let of_chat = messages.filter(|one| one["channel"] == chat);
                of_chat.map(|one| text(&one["text"])).collect()
            }
            Fake::Feishu(feishu) => {
                let messages = feishu.messages().into_iter();
                let of_desk = messages.filter(|one| one["sender"].is_null());
                let of_chat = of_desk.filter(|one| one["receive_id"] == chat);
                of_chat.map(|one| text(&one["content"]["text"])).collect()
            }
            Fake::Dingtalk(_) => {
                let answers = self.answers.lock().expect("no holder panics");
                answers
                    .iter()
                    .map(|one| text(&one["text"]["content"]))
                    .collect()
            }
        }
    }

    pub(super) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut planned = self.faults.lock().expect("no holder panics");
        planned.extend(faults);
    }

    /// Returns the number of calls of an interface.
    pub(super) fn count(&self, interface: &str) -> usize {
        let calls = self.calls.lock().expect("no holder panics");
        calls.iter().filter(|call| *call == interface).count()
    }

    /// Returns the group of WeCom, which must be the only one.
    pub(super) fn group(&self) -> Group {
        let Fake::Wecom(wecom) = &self.fake else {
            panic!("not WeCom")
        };
        let groups = wecom.groups();
        let groups: Vec<Group> = groups.all().values().cloned().collect();
        let [mut group] = <[Group; 1]>::try_from(groups).expect("one group");
        group.members.sort();
        group
    }
}

#[async_trait]
impl HttpClient for Platform {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let path = request.url.split('?').next().unwrap_or_default();
        let interface = path.rsplit('/').next().unwrap_or_default();
        let is_about_groups = path.contains("/appchat/")
            || path.contains(CHATS)
            || interface.contains("conversations");
        if !is_about_groups {
            return Ok(self.respond(request));
        }
        let mut calls = self.calls.lock().expect("no holder panics");
        calls.push(interface.to_owned());
        let fault = self.faults.lock().expect("no holder panics").pop_front();
        match fault {
            None | Some(Fault::Passes) => Ok(self.respond(request)),
            Some(Fault::LostResponse) => {
                self.respond(request);
                Err(HttpError::Unknown("timeout".into()))
            }
            Some(Fault::Code(code)) => {
                let body = json!({ "errcode": code, "errmsg": "refused" }).to_string();
                Ok(HttpResponse::of(200, body.as_bytes()))
            }
        }
    }
}

/// A desk with an account that can own groups. lisi, zhangsan and wangwu have addresses on its platform.
pub(super) struct Groups {
    pub(super) channels: Channels,
    pub(super) platform: Arc<Platform>,
}

impl Groups {
    pub(super) async fn wecom(policy: &str) -> Self {
        let accounts = Accounts {
            robot: "key".into(),
            corpid: "ww1".into(),
            corpsecret: "s".into(),
            agentid: 7,
            members: ["lisi", "zhangsan", "wangwu", "zhaoliu", "shenji", ADDRESS]
                .map(str::to_owned)
                .to_vec(),
            unlicensed: Vec::new(),
            appid: "wx1".into(),
            secret: "p".into(),
            template_id: "tpl".into(),
            followers: Vec::new(),
            former: Vec::new(),
            per_day: 1_000,
        };
        let channels = Channels::open_with(&[WECOM, policy].concat()).await;
        let wecom = Wecom::new(accounts, channels.desk.clock.clone());
        let fake = Fake::Wecom(Box::new(wecom));
        let groups = Self::open(channels, fake, APP_SECRET).await;
        for person in ["lisi", "zhangsan", "wangwu"] {
            groups.reach(person, "wecom", person).await;
        }
        groups
    }

    pub(super) async fn slack(policy: &str) -> Self {
        let channels = Channels::open_with(&[SLACK, policy].concat()).await;
        let slack = Slack::new(BOT_TOKEN, "/hook", channels.desk.clock.clone());
        let fake = Fake::Slack(Box::new(slack));
        let groups = Self::open(channels, fake, BOT_TOKEN).await;
        for (person, address) in [
            ("lisi", "U0000LISI"),
            ("zhangsan", "W0ZHANGSAN"),
            ("wangwu", "U000WANGWU"),
        ] {
            groups.reach(person, "slack", address).await;
        }
        groups
    }

    pub(super) async fn feishu(policy: &str) -> Self {
        let channels = Channels::open_with(&[FEISHU, policy].concat()).await;
        let known = ["ou_lisi", "ou_zhangsan", "ou_wangwu"];
        let feishu = Feishu::new("cli_a", "key", &known, channels.desk.clock.clone());
        let fake = Fake::Feishu(Box::new(feishu));
        let secret = r#"{"app_id":"cli_a","app_secret":"key"}"#;
        let groups = Self::open(channels, fake, secret).await;
        for person in ["lisi", "zhangsan", "wangwu"] {
            let address = format!("ou_{person}");
            groups.reach(person, "feishu", &address).await;
        }
        groups
    }

    pub(super) async fn dingtalk(policy: &str) -> Self {
        let account = format!(
            "[[account]]\nname = \"work_app\"\nchannel = \"dingtalk_app\"\nurl = \"http://dingtalk.example\"\n\
             robot_code = \"r\"\ngroup_template_id = \"{TEMPLATE}\"\ngroup_owner = \"boss\"\n"
        );
        let app = App {
            key: "k".into(),
            secret: "s".into(),
            robot: "r".into(),
            agent: 1,
            template: "t".into(),
            people: ["boss", "lisi", "zhangsan", "wangwu"]
                .map(str::to_owned)
                .to_vec(),
        };
        let channels = Channels::open_with(&[account.as_str(), policy].concat()).await;
        let platform = dingtalk_app::Platform::new(app, channels.desk.clock.clone());
        let fake = Fake::Dingtalk(Box::new(platform));
        let groups = Self::open(channels, fake, r#"{"app_key":"k","app_secret":"s"}"#).await;
        for person in ["lisi", "zhangsan", "wangwu"] {
            groups.reach(person, "dingtalk", person).await;
        }
        groups
    }

    async fn open(mut channels: Channels, fake: Fake, secret: &str) -> Self {
        let platform = Arc::new(Platform {
            fake,
            faults: Mutex::default(),
            calls: Mutex::default(),
            answers: Mutex::default(),
        });
        channels.desk.app.http = platform.clone();
        let keys = &channels.desk.app.ledger.keys;
        keys.keep_secret("channel/work_app", secret.as_bytes())
            .await
            .expect("stored");
        Self { channels, platform }
    }

    pub(super) async fn reach(&self, person: &str, kind: &str, address: &str) {
        let preferences = json!({ "addresses": { kind: address } });
        let (status, answer) = self.channels.prefer(person, preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Returns the chat group of a ticket as the API shows it. The members are sorted.
    pub(super) async fn shown(&self, sn: &str) -> Value {
        let path = format!("tickets/{sn}/chat-group");
        let mut shown = self.channels.get(&path, "admin").await;
        let members = shown["members"].as_array_mut().expect("members");
        members.sort_by_key(|member| member.as_str().map(str::to_owned));
        shown
    }

    pub(super) async fn state(&self, sn: &str) -> String {
        let shown = self.shown(sn).await;
        shown["state"].as_str().expect("a state").to_owned()
    }

    /// Creates (`POST`) or closes (`DELETE`) the group for a person. Returns the status and the body.
    pub(super) async fn ask(&self, method: &str, sn: &str, user: &str) -> (u16, Value) {
        let path = format!("tickets/{sn}/chat-group");
        let body = if method == "POST" {
            json!({})
        } else {
            Value::Null
        };
        let answer = self.channels.desk.v1(method, &path, user, body).await;
        self.channels.desk.settle().await;
        answer
    }

    pub(super) async fn operate(&self, sn: &str, operation: &str, user: &str, body: Value) {
        self.channels.desk.clock.advance(1_000);
        let desk = &self.channels.desk;
        desk.operate(&json!(sn), operation, user, body).await;
        desk.settle().await;
    }

    /// Ends a ticket.
    pub(super) async fn end(&self, sn: &str) {
        let end = json!({ "message": "solved", "status": "FINISHED" });
        self.operate(sn, "close", "admin", end).await;
    }

    pub(super) async fn later(&self, ms: i64) {
        self.channels.desk.clock.advance(ms);
        self.channels.desk.settle().await;
    }

    /// Lets a person follow a ticket without an invitation: the client app that opened the ticket adds the person.
    pub(super) async fn follow_uninvited(&self, sn: &str, person: &str) {
        let desk = &self.channels.desk;
        desk.clock.advance(1_000);
        let body = json!({ "sn": sn, "users": person, "operator": person });
        desk.must("add_follower", body).await;
        desk.settle().await;
    }
}
