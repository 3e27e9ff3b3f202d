//! These tests check that people use a bot of Microsoft Teams: they link their chat, write commands and press buttons. The
//! imitation of Teams issues the tokens and publishes their keys.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use functions::cli::demo::fakes::bot_framework::{KEYS_PATH, METADATA_PATH, pressed, said};
use functions::cli::demo::fakes::teams::{Activity, TOKEN_PATH, Teams};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse, Url};
use serde_json::{Value, json};

use super::Channels;

const BASE: &str = "http://127.0.0.1:1";
const SERVICE: &str = "http://127.0.0.1:1/teams";
const CHAT: &str = "a:1pL6i0oY3C_x-2";
const APP: (&str, &str) = ("0a1b2c3d-0000-4000-8000-000000000001", "client-secret");
const BOT: &str = r#"
    [[account]]
    name = "bot"
    channel = "teams_bot"
    app_id = "0a1b2c3d-0000-4000-8000-000000000001"
    url = "http://127.0.0.1:1/teams"
    token_url = "http://127.0.0.1:1/botframework.com/oauth2/v2.0/token"
    metadata_url = "http://127.0.0.1:1/v1/.well-known/openidconfiguration"
    buttons = true

    [[account]]
    name = "mail"
    channel = "email"
    host = "relay.example"
    from = "desk@example.com"

    [policy]
    accounts = ["bot"]
"#;

/// An HTTP client that passes each request to the imitation of Teams in the same process.
pub(super) struct ToTeams(pub(super) Arc<Teams>);

#[async_trait]
impl HttpClient for ToTeams {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let url: Url = request.url.parse().expect("a URL");
        let segments: Vec<&str> = url.path_segments().expect("segments").collect();
        let authorization = request.headers.iter();
        let mut authorization = authorization.filter(|(name, _)| name == "authorization");
        let authorization = authorization.next().map_or("", |(_, value)| value.as_str());
        let (status, body) = match (url.path(), segments.as_slice()) {
            (METADATA_PATH, _) => (200, self.0.framework().metadata(BASE)),
            (KEYS_PATH, _) => (200, self.0.framework().keys()),
            (TOKEN_PATH, _) => {
                let reply = self.0.token(&request.body);
                (reply.status, reply.body)
            }
            (
                _,
                [
                    "teams",
                    "v3",
                    "conversations",
                    chat,
                    "activities",
                    rest @ ..,
                ],
            ) => {
                let replaced = rest.first().copied();
                let reply = self.0.post(authorization, chat, replaced, &request.body);
                (reply.status, reply.body)
            }
            (path, _) => panic!("no such path: {path}"),
        };
        Ok(HttpResponse::of(status, body.to_string().as_bytes()))
    }
}

/// A desk with a bot of Teams.
struct Bot {
    channels: Channels,
    teams: Arc<Teams>,
}

impl Bot {
    async fn open() -> Self {
        let mut channels = Channels::open_with(BOT).await;
        let teams = Teams::new(APP, ("w1", "s1"), channels.desk.clock.clone());
        let teams = Arc::new(teams);
        teams.add_chat(CHAT, None);
        channels.desk.app.http = Arc::new(ToTeams(teams.clone()));
        let keys = &channels.desk.app.ledger.keys;
        keys.keep_secret("channel/bot", APP.1.as_bytes())
            .await
            .unwrap();
        Self { channels, teams }
    }

    fn request(account: &str, token: &str, activity: &Value) -> Request<Body> {
        Request::post(format!("/callbacks/channels/teams_bot/{account}"))
            .header("authorization", token)
            .header("content-type", "application/json")
            .body(activity.to_string().into())
            .unwrap()
    }

    /// Sends an activity with a valid token. Returns the status and the body of the response.
    async fn post(&self, activity: &Value) -> (u16, String) {
        let token = self.teams.framework().bearer(SERVICE);
        let request = Self::request("bot", &token, activity);
        let (status, body) = self.channels.desk.send(request).await;
        self.channels.desk.settle().await;
        // The imitation accepts seven messages in one second.
        self.channels.desk.clock.advance(1_000);
        (status.as_u16(), String::from_utf8(body).expect("text"))
    }

    fn last(&self) -> Activity {
        self.teams.activities().pop().expect("a message")
    }

    async fn answered(&self, activity: &Value, expected: &str) {
        let before = self.teams.activities().len();
        assert_eq!(self.post(activity).await.0, 200, "{activity}");
        let after = self.teams.activities();
        assert_eq!(after.len(), before + 1, "{activity}");
        let text = after[before].message["text"].as_str().unwrap_or_default();
        assert!(text.contains(expected), "{text}");
    }

    async fn link(&self) {
        let path = "people/zhangsan/addresses/teams/verify";
        let desk = &self.channels.desk;
        let (status, answer) = desk.v1("POST", path, "zhangsan", json!({})).await;
        assert_eq!(status, 200, "{answer}");
        let code = answer["code"].as_str().expect("a code");
        let link = said(SERVICE, CHAT, "1", &format!("<at>desk</at> 绑定 {code}"));
        self.answered(&link, "绑定成功").await;
    }

    async fn votes(&self, sn: &str) -> usize {
        let story = self.channels.desk.story(sn).await;
        let votes = story.iter().filter(|kind| kind.ends_with("vote_cast"));
        votes.count()
    }
}

/// Returns the value of the button of an action in a card.
fn button(activity: &Activity, verb: &str) -> String {
    let actions = &activity.message["attachments"][0]["content"]["actions"];
    let mut actions = actions.as_array().expect("actions").iter();
    let found = actions.find(|action| action["verb"] == verb);
    let found = found.unwrap_or_else(|| panic!("{verb}: {:?}", activity.message));
    found["data"]["value"].as_str().expect("a value").to_owned()
}

#[tokio::test]
async fn a_person_links_the_chat_with_the_bot_and_presses_a_button_once() {
    let bot = Bot::open().await;
    let mut installed = said(SERVICE, CHAT, "0", "");
    installed["type"] = "installationUpdate".into();
    installed["action"] = "add".into();
    bot.answered(&installed, "还没有绑定用户").await;
    bot.link().await;
    let shown = bot.channels.get("people/zhangsan/preferences", "zhangsan");
    assert_eq!(
        shown.await["addresses"]["teams"],
        CHAT,
        "the link stored it"
    );

    let sn = bot.channels.submit().await;
    let card = bot.last();
    let approve = button(&card, "approve");
    let (comment, reject) = (button(&card, "comment"), button(&card, "reject"));
    let press = |id: &str, value: &str| pressed(SERVICE, CHAT, id, &card.id, value);
    bot.answered(&press("f:0", &comment), &format!("评论 {sn}"))
        .await;
    let count = bot.teams.activities().len();
    let (status, body) = bot.post(&press("f:1", &approve)).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["statusCode"]), (200, &json!(200)), "{body}");
    assert_eq!(body["type"], "application/vnd.microsoft.activity.message");
    assert_eq!(bot.votes(&sn).await, 1);
    let all = bot.teams.activities();
    assert_eq!(all.len(), count, "the card was replaced");
    let replaced = all.iter().find(|one| one.id == card.id).expect("the card");
    let text = replaced.message.to_string();
    assert!(
        text.contains("已由zhangsan处理") && text.contains(&sn),
        "{text}"
    );
    assert!(
        !text.contains(&approve) && !text.contains(&reject),
        "{text}"
    );

    let head = bot.channels.desk.head().await;
    assert_eq!(bot.post(&press("f:1", &approve)).await.0, 200);
    assert_eq!(bot.channels.desk.head().await, head, "a repeated activity");
    bot.answered(&press("f:2", &approve), "已经使用过").await;
    bot.answered(&said(SERVICE, CHAT, "2", &format!("状态 {sn}")), &sn)
        .await;
    assert_eq!(bot.votes(&sn).await, 1);
}

#[tokio::test]
async fn a_token_for_another_request_is_refused_and_stores_nothing() {
    let bot = Bot::open().await;
    let framework = bot.teams.framework();
    let head = bot.channels.desk.head().await;
    let activity = said(SERVICE, CHAT, "1", "help");
    let evil = said("https://evil.example/", CHAT, "1", "help");
    for (account, token, activity, expected) in [
        ("bot", framework.bearer(SERVICE), &evil, 403),
        (
            "bot",
            framework.bearer("https://evil.example/"),
            &activity,
            403,
        ),
        ("bot", "Bearer x".to_owned(), &activity, 403),
        ("bot", "HMAC x".to_owned(), &activity, 403),
        ("mail", framework.bearer(SERVICE), &activity, 404),
        ("none", framework.bearer(SERVICE), &activity, 404),
    ] {
        let request = Bot::request(account, &token, activity);
        let (status, body) = bot.channels.desk.send(request).await;
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status.as_u16(), expected, "{account} {body}");
    }
    let token = framework.bearer(SERVICE);
    bot.channels.desk.clock.advance(400 * 86_400_000);
    let request = Bot::request("bot", &token, &activity);
    assert_eq!(bot.channels.desk.send(request).await.0.as_u16(), 403);
    assert_eq!(bot.channels.desk.head().await, head);
}

#[tokio::test]
async fn an_unknown_key_is_read_once_an_hour() {
    let bot = Bot::open().await;
    let framework = bot.teams.framework();
    let activity = |id: &str| said(SERVICE, CHAT, id, "help");
    assert_eq!(bot.post(&activity("1")).await.0, 200);
    assert_eq!(bot.post(&activity("2")).await.0, 200);
    assert_eq!(framework.reads(), 1, "the keys are cached");
    framework.rotate();
    for id in ["3", "4"] {
        assert_eq!(
            bot.post(&activity(id)).await.0,
            403,
            "a key of the last hour"
        );
    }
    assert_eq!(framework.reads(), 1, "unknown keys cause no requests");
    bot.channels.desk.clock.advance(3_600_000);
    assert_eq!(bot.post(&activity("5")).await.0, 200);
    assert_eq!(framework.reads(), 2);
}
