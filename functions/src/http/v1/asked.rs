//! One request of `/v1`, understood: who calls, for whom, and what stands in the body.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::workflow::Processors;
use events::{Entry, Meta, NodeId, Pid, RoleId};
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::App;
use crate::http::blueking::render::request_id;
use crate::http::body::{BODY_BYTES_MAX, object, pairs};
use crate::http::credentials::{Caller, Presented, identify};
use crate::people::{NAMED_MAX, is_name, one_name};

/// One request.
pub(super) struct Asked {
    pub(super) app: App,
    pub(super) query: Map<String, Value>,
    pub(super) body: Map<String, Value>,
    pub(super) caller: Caller,
    pub(super) request_id: String,
    pub(super) idempotency_key: Option<String>,
    /// The version of the stream the caller has seen (`If-Match`).
    pub(super) if_match: Option<i64>,
    pub(super) content_type: String,
    /// Which bytes of an answer are asked for (`Range`).
    pub(super) range: Option<String>,
}

impl Asked {
    /// Reads a request with its body.
    pub(super) async fn read(app: App, request: Request) -> Result<Self, Problem> {
        let (mut asked, body) = Self::open(app, request).await?;
        let bytes = to_bytes(body, BODY_BYTES_MAX)
            .await
            .map_err(|_| Problem::malformed("body", format!("the body is larger than {BODY_BYTES_MAX} bytes, or broke off")))?;
        let kind = asked.content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
        asked.body = match kind.as_str() {
            _ if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            "" | "application/json" => object(&bytes).map_err(|reason| Problem::malformed("body", reason.to_string()))?,
            other => return Err(Problem::malformed("Content-Type", format!("{other} is not application/json"))),
        };
        Ok(asked)
    }

    /// Reads a request up to its body: the application by HTTP Basic or `X-Bkapi-Authorization`, the user by `X-Bk-Token` or, where the application may speak for
    /// users, `X-On-Behalf-Of`.
    pub(super) async fn open(app: App, request: Request) -> Result<(Self, Body), Problem> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
        let carried: Map<String, Value> = header("x-bkapi-authorization").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let text = |key: &str| carried.get(key).and_then(Value::as_str).map(str::to_owned);
        let basic = header("authorization").and_then(basic);
        let (code, secret) = basic.unzip();
        let presented = Presented {
            code: code.or_else(|| text("bk_app_code")),
            secret: secret.or_else(|| text("bk_app_secret")),
            token: header("x-bk-token").map(str::to_owned).or_else(|| text("bk_token")),
            user: parts.headers.get("x-on-behalf-of").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).or_else(|| text("bk_username")),
        };
        let caller = identify(&app, presented).await?.ok_or_else(Problem::unauthorized)?;
        let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        let content_type = header(header::CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
        let range = header(header::RANGE.as_str()).map(str::to_owned);
        let request_id = request_id(&parts.headers, &app);
        let idempotency_key = header("idempotency-key").map(str::to_owned).filter(|key| key.len() <= 255);
        let if_match = match header("if-match") {
            Some(text) => Some(text.trim_matches('"').parse().map_err(|_| Problem::malformed("If-Match", "it is the version of the ticket, a number"))?),
            None => None,
        };
        Ok((Self { app, query, body: Map::new(), caller, request_id, idempotency_key, if_match, content_type, range }, body))
    }

    /// A member of the body as text; absent or null is none.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Problem::malformed(&format!("/{key}"), "it is not a text")),
        }
    }

    pub(super) fn required(&self, key: &str) -> Result<String, Problem> {
        self.text(key)?.filter(|text| !text.trim().is_empty()).ok_or_else(|| Problem::malformed(&format!("/{key}"), "it is missing"))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, Problem> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Problem::malformed(&format!("/{key}"), "it is neither true nor false")),
        }
    }

    pub(super) fn int(&self, key: &str) -> Result<Option<i64>, Problem> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| Problem::malformed(&format!("/{key}"), "it is not an integer")),
        }
    }

    /// Names, as an array of texts.
    pub(super) fn names(&self, key: &str) -> Result<Vec<String>, Problem> {
        let wrong = || Problem::malformed(&format!("/{key}"), "it is not an array of user names");
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().and_then(one_name).map(str::to_owned).ok_or_else(wrong)).collect(),
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn node(&self) -> Result<Option<NodeId>, Problem> {
        Ok(self.int("node")?.map(NodeId))
    }

    /// The form: an object of values by field key.
    pub(super) fn fields(&self) -> Result<Vec<Entry>, Problem> {
        match self.body.get("fields") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(fields)) => Ok(fields.iter().map(|(key, value)| Entry::new(key.clone(), value.clone())).collect()),
            Some(_) => Err(Problem::malformed("/fields", "it is not an object of values by field key")),
        }
    }

    /// Whom something is given to: `{"people": [..]}`, `{"roles": [..]}`, `{"department": ".."}`.
    pub(super) async fn targets(&self) -> Result<Processors, Problem> {
        let wrong = || Problem::malformed("/to", "it holds none of people (user names), roles (ids) and department (an id)");
        let to = self.body.get("to").and_then(Value::as_object).ok_or_else(wrong)?;
        if let Some(people) = to.get("people").and_then(Value::as_array) {
            if people.len() > NAMED_MAX {
                return Err(Problem::malformed("/to/people", format!("more than {NAMED_MAX} people are named")));
            }
            let names: Vec<String> =
                people.iter().map(|name| name.as_str().and_then(one_name).map(str::to_owned).ok_or_else(wrong)).collect::<Result<_, _>>()?;
            return Ok(Processors::Person(self.app.people.find_all(&names).await?));
        }
        if let Some(roles) = to.get("roles").and_then(Value::as_array) {
            return Ok(Processors::General(roles.iter().map(|id| id.as_i64().map(RoleId).ok_or_else(wrong)).collect::<Result<_, _>>()?));
        }
        to.get("department").and_then(Value::as_str).map(|id| Processors::Organization(id.to_owned())).ok_or_else(wrong)
    }

    /// The user who acts; registered where nobody of that name was known.
    pub(super) async fn actor(&self) -> Result<Pid, Problem> {
        let user = self.user()?;
        Ok(self.app.people.pid(user).await?)
    }

    pub(super) fn user(&self) -> Result<&str, Problem> {
        match self.caller.user.as_deref() {
            Some(user) if is_name(user) => Ok(user),
            Some(_) => Err(Problem::malformed("X-On-Behalf-Of", "it is not a user name")),
            None => Err(Problem::malformed("X-On-Behalf-Of", "no user is named who acts")),
        }
    }

    pub(super) fn meta(&self, actor: Pid) -> Meta {
        self.caller.meta(&self.request_id, actor)
    }

    /// The whole request as one text, for telling one idempotent request from another.
    pub(super) async fn fingerprint(&self, of: &str) -> Result<String, Problem> {
        let key = self.app.keys().await?.fingerprint;
        let text = format!("{of} {} {}", self.caller.user.as_deref().unwrap_or_default(), Value::Object(self.body.clone()));
        Ok(blake3::keyed_hash(&key, text.as_bytes()).to_hex().to_string())
    }

    /// A parameter of the query as text.
    pub(super) fn asked_for(&self, key: &str) -> Option<&str> {
        self.query.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A whole number of the query within bounds.
    pub(super) fn number(&self, key: &str, default: usize, most: usize) -> Result<usize, Problem> {
        match self.asked_for(key) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| Problem::malformed(key, format!("it is not a number from 1 to {most}"))),
        }
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(code, secret)| (code.to_owned(), secret.to_owned()))
}
