//! These tests check that people act from their notifications: by a signed link, and by a message in a chat.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use domain::notification::delivery::Delivery;
use functions::app::notifications::definitions::Definitions;
use infra::channel::dingtalk_robot::sign;
use infra::clock::Clock as _;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::Channels;

const DAY_MS: i64 = 86_400_000;
const SECRET: &str = "SECapp";
const REPLIES: &str = "http://robot.example/session";

/// An HTTP client that accepts every request and stores it.
#[derive(Default)]
struct Recorder(Mutex<Vec<HttpRequest>>);

#[async_trait]
impl HttpClient for Recorder {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0
            .lock()
            .expect("no holder panics")
            .push(request.clone());
        Ok(HttpResponse::of(200, br#"{"errcode":0,"errmsg":"ok"}"#))
    }
}

/// A desk with a DingTalk account to which people send messages.
struct Chat {
    channels: Channels,
    recorder: Arc<Recorder>,
}

impl Chat {
    async fn open() -> Self {
        let mut channels = Channels::open().await;
        let recorder = Arc::new(Recorder::default());
        channels.desk.app.http = recorder.clone();
        let keys = &channels.desk.app.ledger.keys;
        keys.keep_secret("inbound/ops_robot", SECRET.as_bytes())
            .await
            .unwrap();
        channels.reachable(None).await;
        Self { channels, recorder }
    }

    fn request(&self, id: &str, text: &str, secret: &str, age_ms: i64) -> Request<Body> {
        let at = self.channels.desk.clock.now().plus_ms(-age_ms);
        let body = json!({
            "msgtype": "text", "msgId": id, "senderStaffId": "dt-zhangsan", "text": { "content": text },
            "sessionWebhook": REPLIES,
        });
        Request::builder()
            .method("POST")
            .uri("/callbacks/channels/dingtalk/ops_robot")
            .header("timestamp", at.0.to_string())
            .header("sign", sign(secret, at))
            .body(body.to_string().into())
            .unwrap()
    }

    /// Sends a message, and returns the status of the response and the answers of the desk.
    async fn say(&self, id: &str, text: &str) -> (u16, Vec<String>) {
        let request = self.request(id, text, SECRET, 0);
        let (status, _) = self.channels.desk.send(request).await;
        self.channels.desk.settle().await;
        let sent = std::mem::take(&mut *self.recorder.0.lock().unwrap());
        let answers = sent.iter().filter(|request| request.url == REPLIES);
        let text = |request: &HttpRequest| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            body["text"]["content"].as_str().unwrap().to_owned()
        };
        (status.as_u16(), answers.map(text).collect())
    }

    async fn answered(&self, id: &str, text: &str, expected: &str) {
        let (status, answers) = self.say(id, text).await;
        assert_eq!((status, answers.len()), (200, 1), "{text}: {answers:?}");
        assert!(answers[0].contains(expected), "{text}: {answers:?}");
    }

    async fn link(&self) {
        let path = "people/zhangsan/addresses/dingtalk/verify";
        let v1 = async |user: &'static str| {
            let desk = &self.channels.desk;
            desk.v1("POST", path, user, json!({})).await
        };
        assert_eq!(v1("admin").await.0, 403, "only the person gets a code");
        let (status, answer) = v1("zhangsan").await;
        assert_eq!(status, 200, "{answer}");
        let code = answer["code"].as_str().unwrap();
        self.answered("link", &format!("绑定 {code}"), "绑定成功")
            .await;
    }
}

#[tokio::test]
async fn a_linked_person_creates_the_chat_group_of_a_ticket() {
    let chat = Chat::open().await;
    chat.link().await;
    let app = &chat.channels.desk.app;
    let account = "[[account]]\nname = \"work_app\"\nchannel = \"wecom_app\"\nagentid = 7\n";
    let policy = "[policy]\naccounts = []\n[policy.chat_groups]\naccount = \"work_app\"\n";
    let definitions = Definitions::read(&[account, policy].concat()).unwrap();
    definitions.store(app).await.unwrap();
    let sn = chat.channels.submit().await;
    let create = format!("拉群 {sn}");
    chat.answered("g1", &create, "已完成“建立工单群”").await;
    let path = format!("tickets/{sn}/chat-group");
    let shown = chat.channels.get(&path, "zhangsan").await;
    assert_eq!(shown["requested_by"], "zhangsan", "{shown}");
    assert_eq!(shown["account"], "work_app", "{shown}");
}

#[tokio::test]
async fn a_linked_person_acts_from_a_chat_and_each_message_acts_once() {
    let chat = Chat::open().await;
    let sn = chat.channels.submit().await;
    let approve = format!("@desk 同意：{sn} 预算够");
    chat.answered("m1", &approve, "还没有绑定").await;
    chat.answered("m2", "绑定 abc", "绑定码错误").await;
    chat.link().await;
    chat.answered("m3", "你好", "可用命令").await;
    chat.answered("m4", "状态", &sn).await;
    chat.answered("m5", &format!("状态 {sn}"), &sn).await;
    let group = format!("建群 {sn}");
    chat.answered("g1", &group, "没有配置群聊账号").await;
    chat.answered("m6", "状态 REQ20000101000001", "没有工单")
        .await;
    chat.answered("m7", &approve, "已完成").await;
    let votes = async || {
        let story = chat.channels.desk.story(&sn).await;
        let votes = story.iter().filter(|kind| kind.ends_with("vote_cast"));
        votes.count()
    };
    assert_eq!(votes().await, 1);
    let head = chat.channels.desk.head().await;
    let (status, answers) = chat.say("m7", &approve).await;
    assert_eq!((status, answers.len()), (200, 0), "a repeated message");
    assert_eq!(chat.channels.desk.head().await, head);
    chat.answered("m8", &approve, "请在工单页面审批").await;
    assert_eq!(votes().await, 1);
}

#[tokio::test]
async fn a_command_without_a_ticket_means_the_only_unanswered_one() {
    let chat = Chat::open().await;
    chat.link().await;
    chat.answered("m1", "同意", "请写明单号").await;
    let first = chat.channels.submit().await;
    let second = chat.channels.submit().await;
    let (_, answers) = chat.say("m2", "同意").await;
    assert!(answers[0].contains("有多个工单等待您处理"), "{answers:?}");
    assert!(
        answers[0].contains(&first) && answers[0].contains(&second),
        "{answers:?}"
    );
    chat.answered("m3", &format!("同意 {first}"), "已完成")
        .await;
    chat.answered("m4", "同意", &format!("已完成“同意”，单号 {second}"))
        .await;
    chat.answered("m5", "状态", "请写明单号").await;
}

#[tokio::test]
async fn an_address_without_a_chat_cannot_be_linked() {
    let chat = Chat::open().await;
    let path = "people/zhangsan/addresses/fcm/verify";
    let desk = &chat.channels.desk;
    let (status, problem) = desk.v1("POST", path, "zhangsan", json!({})).await;
    assert_eq!(status, 400, "{problem}");
    let text = problem.to_string();
    assert!(text.contains("dingtalk, email, feishu"), "{text}");
}

#[tokio::test]
async fn an_unverified_message_stores_nothing() {
    let chat = Chat::open().await;
    let head = chat.channels.desk.head().await;
    for (request, expected) in [
        (chat.request("m1", "ack", "SECother", 0), 403),
        (chat.request("m1", "ack", SECRET, 3_600_001), 403),
        (chat.request("m1", "ack", SECRET, 400 * DAY_MS), 403),
    ] {
        let (status, _) = chat.channels.desk.send(request).await;
        assert_eq!(status.as_u16(), expected);
    }
    for path in [
        "dingtalk/mail",
        "dingtalk/none",
        "fax/ops_robot",
        "dingtalk/a.b",
    ] {
        let request = Request::builder()
            .method("POST")
            .uri(format!("/callbacks/channels/{path}"))
            .body(Body::empty())
            .unwrap();
        let (status, _) = chat.channels.desk.send(request).await;
        assert_eq!(status.as_u16(), 404, "{path}");
    }
    assert_eq!(chat.channels.desk.head().await, head);
}

#[tokio::test]
async fn a_second_live_secret_is_accepted() {
    let chat = Chat::open().await;
    let keys = &chat.channels.desk.app.ledger.keys;
    keys.keep_secret("inbound/ops_robot.next", b"SECnext")
        .await
        .unwrap();
    let request = chat.request("m1", "帮助", "SECnext", 0);
    let (status, _) = chat.channels.desk.send(request).await;
    assert_eq!(status.as_u16(), 200);
}

#[tokio::test]
async fn a_link_that_lost_its_address_acts_no_more() {
    let chat = Chat::open().await;
    chat.link().await;
    let preferences = json!({ "addresses": { "dingtalk": "dt-other" } });
    assert_eq!(chat.channels.prefer("zhangsan", preferences).await.0, 200);
    chat.answered("m1", "状态", "还没有绑定").await;
}

/// The action links in the newest mail to zhangsan.
pub(super) async fn links(channels: &Channels) -> Vec<(String, String)> {
    let all = channels.get("deliveries", "admin").await;
    let mut all = all["deliveries"].as_array().expect("deliveries").iter();
    let mail = all.find(|one| one["account"] == "mail").expect("a mail");
    let id = mail["id"].as_str().expect("an id");
    let stream = format!("delivery-{id}");
    let loaded = channels.desk.app.ledger.load::<Delivery>(&stream).await;
    let requested = loaded.unwrap().aggregate.0.requested.expect("requested");
    let actions = requested.content.value["actions"].as_array().cloned();
    let text = |action: &Value, key: &str| action[key].as_str().expect("text").to_owned();
    let actions = actions.unwrap_or_default();
    actions
        .iter()
        .map(|action| {
            let url = text(action, "url");
            let value = text(action, "value");
            assert!(url.ends_with(&format!("/act/{value}")), "{url}");
            assert!(value.len() <= 200, "{value}");
            (text(action, "name"), format!("/act/{value}"))
        })
        .collect()
}

#[tokio::test]
async fn the_page_of_a_link_shows_no_content_of_a_service_that_encrypts_text() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let body = json!({ "seals_text": true });
    let (status, answer) = channels.desk.v1("PUT", "services/22", "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    channels.desk.settle().await;
    channels.submit().await;
    let links = links(&channels).await;
    let (_, path) = links.first().expect("a link");
    let (status, shown) = channels.page(path, None).await;
    assert_eq!(status, 200, "{shown}");
    assert!(shown.contains("open the ticket first"), "{shown}");
    for content in ["堡垒机", "清单"] {
        assert!(!shown.contains(content), "{content}: {shown}");
    }
}

#[tokio::test]
async fn a_link_acts_once_and_only_by_its_form() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    let links = links(&channels).await;
    let named = |name: &str| {
        let found = links.iter().find(|(given, _)| given == name);
        found
            .unwrap_or_else(|| panic!("{name}: {links:?}"))
            .1
            .clone()
    };
    let (approve, reject, comment) = (named("approve"), named("reject"), named("comment"));
    let head = channels.desk.head().await;
    let (status, shown) = channels.page(&approve, None).await;
    assert_eq!(status, 200, "{shown}");
    assert!(shown.contains("Approve") && shown.contains(&sn), "{shown}");
    for content in ["申请堡垒机权限", "按清单开通"] {
        assert!(shown.contains(content), "{content}: {shown}");
    }
    assert!(!shown.contains("13800000000"), "a personal value: {shown}");
    channels.page(&approve, None).await;
    assert_eq!(channels.desk.head().await, head, "a page acts 0 times");
    let (status, _) = channels.page(&approve, Some("seen=old&text=ok")).await;
    assert_eq!(status, 409, "the content is not the one that was seen");
    assert_eq!(channels.desk.head().await, head);
    let marked = shown
        .split("name=\"seen\" value=\"")
        .nth(1)
        .expect("a fingerprint");
    let seen = marked.split('"').next().expect("a value");
    let form = format!("seen={seen}&text=ok");
    let (status, done) = channels.page(&approve, Some(&form)).await;
    assert_eq!(status, 200, "{done}");
    let story = channels.desk.story(&sn).await;
    let votes = story.iter().filter(|kind| kind.ends_with("vote_cast"));
    assert_eq!(votes.count(), 1);
    channels.desk.settle().await;
    let head = channels.desk.head().await;
    for form in [None, Some(form.as_str())] {
        let (status, again) = channels.page(&approve, form).await;
        assert_eq!(status, 409, "{again}");
        assert!(again.contains("used already"), "{again}");
    }
    let (status, _) = channels.page(&reject, Some(&form)).await;
    assert!(
        matches!(status, 403 | 409),
        "the person has voted: {status}"
    );
    let (status, _) = channels.page(&comment, Some("seen=&text=+")).await;
    assert_eq!(status, 400, "a comment needs a text");
    let (status, _) = channels.page("/act/forged", None).await;
    assert_eq!(status, 404);
    assert_eq!(channels.desk.head().await, head);
    channels.desk.clock.advance(8 * DAY_MS);
    let (status, _) = channels.page(&comment, None).await;
    assert_eq!(status, 410);
}
