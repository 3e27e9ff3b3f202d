//! Imitates the parts of Microsoft Teams that post messages (reference/notifications.md, section 1.4): a workflow that starts
//! with a webhook, the login server that issues access tokens for bots, and the Bot Framework with its chats.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::bot_framework::{self, BotFramework};

/// The path of the service URL of bots.
pub const SERVICE_PATH: &str = "/teams";
/// The path of the login server for access tokens.
pub const TOKEN_PATH: &str = "/botframework.com/oauth2/v2.0/token";
/// The id of a workflow that answers as an Office 365 connector: with status 200 and a sentence that contains the real status.
pub const RETIRED: &str = "retired";
/// Maximum size of a message in bytes.
const MESSAGE_MAX: usize = 28 * 1024;
/// The lifetime of an access token in seconds.
const LIFETIME_S: i64 = 3599;
/// Limits of the workflow: the number of messages and the period in milliseconds.
const WORKFLOW_LIMITS: &[(usize, i64)] = &[(60, 60_000)];
/// Limits of one chat of a bot: the number of messages and the period in milliseconds.
const CHAT_LIMITS: &[(usize, i64)] = &[(7, 1_000), (8, 2_000), (60, 30_000), (1_800, 3_600_000)];
/// Maximum number of messages that the imitation stores for tests. Further messages are accepted, but not stored.
const KEPT_MAX: usize = 10_000;
/// Maximum number of valid access tokens. A further token replaces the oldest one.
const TOKENS_MAX: usize = 100;
const CARD_TYPE: &str = "application/vnd.microsoft.card.adaptive";
const LOGIN: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://api.botframework.com/.default";

/// A message in a chat of the bot.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    pub chat: String,
    pub id: String,
    pub message: Value,
}

#[derive(Debug, Default)]
struct Chat {
    /// The status and the code with which the chat refuses every message. `None` if the chat accepts messages.
    refusal: Option<(u16, &'static str)>,
    times: VecDeque<i64>,
}

#[derive(Debug, Default)]
struct Seen {
    is_switched_off: bool,
    workflow_times: VecDeque<i64>,
    cards: Vec<Value>,
    failed_runs: usize,
    /// The valid access tokens and the times at which they expire.
    tokens: VecDeque<(String, i64)>,
    issued: usize,
    chats: BTreeMap<String, Chat>,
    activities: Vec<Activity>,
    sent: usize,
}

/// An imitated Microsoft Teams with one workflow and one bot.
pub struct Teams {
    app: (String, String),
    workflow: (String, String),
    clock: Arc<dyn Clock>,
    framework: BotFramework,
    seen: Mutex<Seen>,
}

/// The response to a request. The body is JSON, or a text without a format.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
    /// The value of the header `Retry-After` in seconds.
    pub retry_after_s: Option<i64>,
}

impl Reply {
    fn of(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            retry_after_s: None,
        }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let error = json!({ "code": code, "message": message });
        Self::of(status, json!({ "error": error }))
    }

    /// Returns the error of the login server with the given number.
    fn login(status: u16, error: &str, number: i64) -> Self {
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{number}: the request was refused."),
            "error_codes": [number],
        });
        Self::of(status, body)
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, body) = match self.body {
            Value::Null => ("text/plain", String::new()),
            Value::String(text) => ("text/plain", text),
            body => ("application/json", body.to_string()),
        };
        let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            let value = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

impl Teams {
    /// Creates an imitation without chats. `app` is the application id and the client secret of the bot. `workflow` is the id
    /// and the signature of the workflow.
    pub fn new(app: (&str, &str), workflow: (&str, &str), clock: Arc<dyn Clock>) -> Self {
        let owned = |(id, secret): (&str, &str)| (id.to_owned(), secret.to_owned());
        Self {
            app: owned(app),
            workflow: owned(workflow),
            framework: BotFramework::new(app.0, clock.clone()),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the path and the query of the URL of the workflow. The URL contains the signature.
    pub fn workflow_path(&self) -> String {
        let (id, signature) = &self.workflow;
        format!(
            "/workflows/{id}/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={signature}"
        )
    }

    /// Returns the service that signs the requests to the bot.
    pub fn framework(&self) -> &BotFramework {
        &self.framework
    }

    /// Adds a personal chat of the bot. With a status and a code, the chat refuses every message.
    pub fn add_chat(&self, id: &str, refusal: Option<(u16, &'static str)>) {
        let chat = Chat {
            refusal,
            ..Chat::default()
        };
        self.seen().chats.insert(id.to_owned(), chat);
    }

    /// Switches the workflow on or off.
    pub fn switch_workflow(&self, is_on: bool) {
        self.seen().is_switched_off = !is_on;
    }

    /// Makes all access tokens invalid before they expire.
    pub fn void_tokens(&self) {
        self.seen().tokens.clear();
    }

    /// Returns the messages whose cards the workflow posted, in the order of their arrival.
    pub fn cards(&self) -> Vec<Value> {
        self.seen().cards.clone()
    }

    /// Returns the number of messages that the workflow accepted with status 202, but did not post. The sender cannot learn
    /// this number.
    pub fn failed_runs(&self) -> usize {
        self.seen().failed_runs
    }

    /// Returns the number of access tokens that the login server issued.
    pub fn issued(&self) -> usize {
        self.seen().issued
    }

    /// Returns the messages in the chats of the bot, in the order of their arrival.
    pub fn activities(&self) -> Vec<Activity> {
        self.seen().activities.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Responds to a request that starts a workflow. `query` is the part of the URL after the question mark.
    pub fn run(&self, workflow: &str, query: &str, body: &[u8]) -> Reply {
        if workflow == RETIRED {
            let sentence = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId tcid=0.";
            return Reply::of(200, sentence.into());
        }
        if workflow != self.workflow.0 {
            let message = "The workflow could not be found.";
            return Reply::error(404, "WorkflowNotFound", message);
        }
        let pairs = pairs(query.as_bytes());
        if value(&pairs, "api-version").is_empty() {
            let message = "The request is missing the query parameter api-version.";
            return Reply::error(400, "MissingApiVersionParameter", message);
        }
        if value(&pairs, "sig") != self.workflow.1 {
            let message = "The request must be authenticated only by Shared Access scheme.";
            return Reply::error(401, "DirectApiAuthorizationRequired", message);
        }
        let now = self.clock.now().0;
        let mut seen = self.seen();
        if seen.is_switched_off {
            let message = "Could not execute workflow trigger 'manual' with state 'Disabled'.";
            return Reply::error(400, "WorkflowTriggerIsNotEnabled", message);
        }
        if body.len() > MESSAGE_MAX {
            return Reply::error(413, "RequestEntityTooLarge", "The request is too large.");
        }
        let Ok(message) = serde_json::from_slice::<Value>(body) else {
            return Reply::error(400, "InvalidRequestContent", "The content is not JSON.");
        };
        if let Err(seconds) = count(&mut seen.workflow_times, WORKFLOW_LIMITS, now) {
            return Reply {
                retry_after_s: Some(seconds),
                ..Reply::error(429, "TooManyRequests", "Rate limit is exceeded.")
            };
        }
        // The workflow fails later if the message has no valid card. Its sender gets status 202 nevertheless.
        if !has_cards(&message) {
            seen.failed_runs += 1;
        } else if seen.cards.len() < KEPT_MAX {
            seen.cards.push(message);
        }
        Reply::of(202, Value::Null)
    }

    /// Responds to a request for an access token. The body is a form.
    pub fn token(&self, form: &[u8]) -> Reply {
        let pairs = pairs(form);
        let value = |key: &str| value(&pairs, key);
        if value("grant_type") != "client_credentials" {
            return Reply::login(400, "unsupported_grant_type", 70_003);
        }
        if value("scope") != SCOPE {
            return Reply::login(400, "invalid_scope", 70_011);
        }
        if value("client_id") != self.app.0 {
            return Reply::login(400, "unauthorized_client", 700_016);
        }
        if value("client_secret") != self.app.1 {
            return Reply::login(401, "invalid_client", 7_000_215);
        }
        let expires = self.clock.now().0 + LIFETIME_S * 1000;
        let mut seen = self.seen();
        seen.issued += 1;
        let token = format!("token-{}", seen.issued);
        if seen.tokens.len() >= TOKENS_MAX {
            seen.tokens.pop_front();
        }
        seen.tokens.push_back((token.clone(), expires));
        let body = json!({
            "token_type": "Bearer",
            "expires_in": LIFETIME_S,
            "ext_expires_in": LIFETIME_S,
            "access_token": token,
        });
        Reply::of(200, body)
    }

    /// Responds to a request that sends a message to a chat, or replaces the message with the id `replaced`. `authorization`
    /// is the value of the header with this name.
    pub fn post(
        &self,
        authorization: &str,
        chat: &str,
        replaced: Option<&str>,
        body: &[u8],
    ) -> Reply {
        let now = self.clock.now().0;
        let mut seen = self.seen();
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let is_valid = |(valid, expires): &(String, i64)| valid == token && now < *expires;
        if !seen.tokens.iter().any(is_valid) {
            let body = json!({ "message": "Authorization has been denied for this request." });
            return Reply::of(401, body);
        }
        if body.len() > MESSAGE_MAX {
            return Reply::error(413, "MessageSizeTooBig", "Message size too large.");
        }
        let Ok(message) = serde_json::from_slice::<Value>(body) else {
            return Reply::error(400, "BadSyntax", "Invalid activity.");
        };
        let Some(known) = seen.chats.get_mut(chat) else {
            return Reply::error(404, "ConversationNotFound", "Conversation not found.");
        };
        if let Some((status, code)) = known.refusal {
            return Reply::error(status, code, "The message was refused.");
        }
        if let Err(seconds) = count(&mut known.times, CHAT_LIMITS, now) {
            return Reply {
                retry_after_s: Some(seconds),
                ..Reply::error(429, "Throttled", "Too many requests.")
            };
        }
        let is_text = message["text"]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        let has_content = is_text || has_cards(&message);
        if message["type"] != "message" || !has_content {
            return Reply::error(400, "BadArgument", "The activity has no content.");
        }
        if let Some(id) = replaced {
            let mut all = seen.activities.iter_mut();
            let Some(old) = all.find(|old| old.chat == chat && old.id == id) else {
                let message = "Activity not found in conversation.";
                return Reply::error(404, "ActivityNotFoundInConversation", message);
            };
            old.message = message;
            return Reply::of(200, json!({ "id": id }));
        }
        seen.sent += 1;
        let id = format!("1:{}", seen.sent);
        if seen.activities.len() < KEPT_MAX {
            seen.activities.push(Activity {
                chat: chat.to_owned(),
                id: id.clone(),
                message,
            });
        }
        Reply::of(201, json!({ "id": id }))
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        const RUN: &str = "/workflows/{workflow}/triggers/manual/paths/invoke";
        let bot = Router::new()
            .route("/v3/conversations/{chat}/activities", post(send))
            .route(
                "/v3/conversations/{chat}/activities/{activity}",
                put(replace),
            );
        Router::new()
            .route(RUN, post(run))
            .route(
                &format!("/powerautomate/automations/direct{RUN}"),
                post(run),
            )
            .route(TOKEN_PATH, post(token))
            .route(
                "/botframework.com/v2.0/.well-known/openid-configuration",
                get(configuration),
            )
            .route("/common/discovery/instance", get(discovery))
            .nest(SERVICE_PATH, bot)
            .merge(bot_framework::routes())
            .with_state(self)
    }
}

async fn run(
    State(teams): State<Arc<Teams>>,
    Path(workflow): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Reply {
    teams.run(&workflow, &query.unwrap_or_default(), &body)
}

async fn token(State(teams): State<Arc<Teams>>, body: Bytes) -> Reply {
    teams.token(&body)
}

async fn send(
    State(teams): State<Arc<Teams>>,
    Path(chat): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    teams.post(authorization(&headers), &chat, None, &body)
}

async fn replace(
    State(teams): State<Arc<Teams>>,
    Path((chat, activity)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    teams.post(authorization(&headers), &chat, Some(&activity), &body)
}

/// Returns the addresses of the login server. The client library of the vendor reads them before it asks for a token.
async fn configuration() -> Json<Value> {
    Json(json!({
        "issuer": format!("{LOGIN}/d6d49420-f39b-4df7-a1dc-d59a935871db/v2.0"),
        "authorization_endpoint": format!("{LOGIN}/botframework.com/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{LOGIN}{TOKEN_PATH}"),
    }))
}

/// Returns the names of the login server. The client library of the vendor reads them.
async fn discovery() -> Json<Value> {
    Json(json!({
        "api-version": "1.1",
        "tenant_discovery_endpoint": format!("{LOGIN}/common/.well-known/openid-configuration"),
        "metadata": [{
            "preferred_network": "login.microsoftonline.com",
            "preferred_cache": "login.windows.net",
            "aliases": ["login.microsoftonline.com", "login.windows.net"],
        }],
    }))
}

fn authorization(headers: &HeaderMap) -> &str {
    let value = headers.get(header::AUTHORIZATION);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    serde_urlencoded::from_bytes(form).unwrap_or_default()
}

fn value<'a>(pairs: &'a [(String, String)], key: &str) -> &'a str {
    let found = pairs.iter().find(|(name, _)| name == key);
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// Returns true if a message has attachments, and all of them are Adaptive Cards that Teams can show.
fn has_cards(message: &Value) -> bool {
    let is_card = |attachment: &Value| {
        let card = &attachment["content"];
        let version = card["version"].as_str().unwrap_or_default();
        attachment["contentType"] == CARD_TYPE
            && card["type"] == "AdaptiveCard"
            && card["body"].is_array()
            && ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"].contains(&version)
    };
    let attachments = message["attachments"].as_array();
    attachments.is_some_and(|all| !all.is_empty() && all.iter().all(is_card))
}

/// Counts one request at the time `now`. If a limit is reached, returns the wait in seconds instead. Each limit has a number of
/// requests and a period in milliseconds.
fn count(times: &mut VecDeque<i64>, limits: &[(usize, i64)], now: i64) -> Result<(), i64> {
    let longest = limits.iter().map(|(_, period)| *period).max();
    let longest = longest.unwrap_or_default();
    while times.front().is_some_and(|at| at + longest <= now) {
        times.pop_front();
    }
    for (most, period) in limits {
        let first = times.len().checked_sub(*most);
        if let Some(at) = first.and_then(|first| times.get(first))
            && at + period > now
        {
            return Err((at + period - now + 999) / 1000);
        }
    }
    times.push_back(now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    const APP: (&str, &str) = ("app", "secret");
    const FORM: &str = "grant_type=client_credentials&client_id=app&client_secret=secret&scope=https%3A%2F%2Fapi.botframework.com%2F.default";
    const QUERY: &str = "api-version=2016-06-01&sig=s1";

    fn teams() -> (Teams, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(1_700_000_000_000)));
        let teams = Teams::new(APP, ("w1", "s1"), clock.clone());
        teams.add_chat("a:1", None);
        teams.add_chat("a:blocked", Some((403, "BotNotInConversationRoster")));
        (teams, clock)
    }

    fn message() -> Vec<u8> {
        let card = json!({ "type": "AdaptiveCard", "version": "1.4", "body": [] });
        let attachment = json!({ "contentType": CARD_TYPE, "contentUrl": null, "content": card });
        let message = json!({ "type": "message", "attachments": [attachment] });
        message.to_string().into_bytes()
    }

    fn code(reply: &Reply) -> (u16, &str) {
        let code = reply.body["error"]["code"].as_str();
        (reply.status, code.unwrap_or_default())
    }

    #[test]
    fn a_workflow_accepts_only_its_signature_and_hides_its_failures() {
        let (teams, _) = teams();
        let run = |workflow: &str, query: &str, body: &[u8]| {
            let reply = teams.run(workflow, query, body);
            let (status, code) = code(&reply);
            format!("{status} {code}")
        };
        assert_eq!(run("w1", QUERY, &message()), "202 ");
        assert_eq!(
            run("w1", "api-version=1&sig=s2", &message()),
            "401 DirectApiAuthorizationRequired"
        );
        assert_eq!(
            run("w1", "sig=s1", &message()),
            "400 MissingApiVersionParameter"
        );
        assert_eq!(run("w2", QUERY, &message()), "404 WorkflowNotFound");
        assert_eq!(run("w1", QUERY, b"{"), "400 InvalidRequestContent");
        let large = vec![b' '; MESSAGE_MAX + 1];
        assert_eq!(run("w1", QUERY, &large), "413 RequestEntityTooLarge");
        for body in [
            r#"{"type":"message","text":"x"}"#,
            r#"{"attachments":[]}"#,
            r#"{"attachments":[{"contentType":"text/plain"}]}"#,
        ] {
            assert_eq!(run("w1", QUERY, body.as_bytes()), "202 ");
        }
        assert_eq!((teams.cards().len(), teams.failed_runs()), (1, 3));
        assert_eq!(run(RETIRED, "", b""), "200 ");
        teams.switch_workflow(false);
        assert_eq!(
            run("w1", QUERY, &message()),
            "400 WorkflowTriggerIsNotEnabled"
        );
        teams.switch_workflow(true);
        assert_eq!(run("w1", QUERY, &message()), "202 ");
    }

    #[test]
    fn a_workflow_accepts_sixty_messages_in_one_minute() {
        let (teams, clock) = teams();
        for _ in 0..60 {
            assert_eq!(teams.run("w1", QUERY, &message()).status, 202);
            clock.advance(10);
        }
        let reply = teams.run("w1", QUERY, &message());
        assert_eq!((reply.status, reply.retry_after_s), (429, Some(60)));
        clock.advance(59_399);
        assert_eq!(teams.run("w1", QUERY, &message()).status, 429);
        clock.advance(1);
        assert_eq!(teams.run("w1", QUERY, &message()).status, 202);
    }

    #[test]
    fn a_token_needs_the_credentials_and_expires() {
        let (teams, clock) = teams();
        for (from, to, expected) in [
            ("secret=secret", "secret=x", (401, "invalid_client")),
            ("id=app", "id=x", (400, "unauthorized_client")),
            ("client_credentials", "x", (400, "unsupported_grant_type")),
            ("default", "x", (400, "invalid_scope")),
        ] {
            assert!(FORM.contains(from), "{from}");
            let reply = teams.token(FORM.replacen(from, to, 1).as_bytes());
            let error = reply.body["error"].as_str().unwrap_or_default();
            assert_eq!((reply.status, error), expected);
        }
        let reply = teams.token(FORM.as_bytes());
        assert_eq!(reply.body["access_token"], "token-1");
        let post = || teams.post("Bearer token-1", "a:1", None, &message()).status;
        assert_eq!(post(), 201);
        clock.advance(LIFETIME_S * 1000 - 1);
        assert_eq!(post(), 201);
        clock.advance(1);
        assert_eq!(post(), 401);
        for _ in 0..=TOKENS_MAX {
            teams.token(FORM.as_bytes());
        }
        assert_eq!(teams.seen().tokens.len(), TOKENS_MAX);
        teams.void_tokens();
        assert_eq!(teams.seen().tokens.len(), 0);
    }

    #[test]
    fn a_chat_accepts_messages_that_can_be_replaced() {
        let (teams, _) = teams();
        teams.token(FORM.as_bytes());
        let post = |chat: &str, replaced: Option<&str>, body: &[u8]| {
            let reply = teams.post("Bearer token-1", chat, replaced, body);
            let (status, code) = code(&reply);
            format!("{status} {code}")
        };
        assert_eq!(post("a:1", None, &message()), "201 ");
        let text = br#"{"type":"message","text":"new"}"#;
        assert_eq!(post("a:1", Some("1:1"), text), "200 ");
        assert_eq!(
            post("a:1", Some("1:2"), text),
            "404 ActivityNotFoundInConversation"
        );
        assert_eq!(post("a:2", None, text), "404 ConversationNotFound");
        assert_eq!(
            post("a:blocked", None, text),
            "403 BotNotInConversationRoster"
        );
        assert_eq!(post("a:1", None, b"{}"), "400 BadArgument");
        assert_eq!(post("a:1", None, b"{"), "400 BadSyntax");
        let large = vec![b' '; MESSAGE_MAX + 1];
        assert_eq!(post("a:1", None, &large), "413 MessageSizeTooBig");
        let [activity] = teams.activities().try_into().expect("one message");
        assert_eq!(
            (activity.id.as_str(), &activity.message["text"]),
            ("1:1", &json!("new"))
        );
    }

    #[test]
    fn a_chat_accepts_seven_messages_in_one_second() {
        let (teams, clock) = teams();
        teams.token(FORM.as_bytes());
        let post = || teams.post("Bearer token-1", "a:1", None, &message());
        for _ in 0..7 {
            assert_eq!(post().status, 201);
        }
        let reply = post();
        assert_eq!(code(&reply), (429, "Throttled"));
        assert_eq!(reply.retry_after_s, Some(1));
        clock.advance(1_000);
        assert_eq!(post().status, 201);
        assert_eq!(post().status, 429, "eight messages in two seconds");
        clock.advance(1_000);
        assert_eq!(post().status, 201);
    }
}
