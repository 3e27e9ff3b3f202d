//! What a workflow says of calls outside the desk: requests and tasks, with holes for what a ticket holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::workflow::Condition;

/// What an automatic node does outside the desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Outside {
    Request(Request),
    Task(Task),
}

/// One HTTP call. Texts may hold `${key}`, which stands for a field, a variable or a fact of the ticket; nothing is ever evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair>,
    /// JSON with templates in its texts: a text that is one template alone becomes the value itself. A body that is a text is sent as it is written, its
    /// templates filled. Fields of a form are an object, or a list of `key` and `value` in the order in which they are sent.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// The JSON schema that the filled body is made to fit, where the other side says one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body_schema: Value,
    /// The name of a secret in the key store that holds further headers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The kind of credentials that the file of this request names (`bearer_token`, `basic_auth`). Files hold them as plain text, so they are not read: the
    /// request is deployed and sent only with a `secret`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credentials: String,
    /// The system of the original that knows the host of this request, where the file has a path only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    #[serde(default = "ten_seconds")]
    pub timeout_ms: i64,
    /// Times it is tried where nobody answered; each carries the same `Idempotency-Key`.
    #[serde(default = "once")]
    pub attempts_max: u32,
    /// What the answer must say; where absent, an API must say `result: true`, a webhook anything in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// Variables taken from the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Taken>,
}

fn ten_seconds() -> i64 {
    10_000
}

fn once() -> u32 {
    1
}

/// A name and its (templated) value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

/// Calls again until the answer says what is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub interval_ms: i64,
    pub times_max: u32,
    pub until: Condition,
}

/// A variable taken from an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it stands, members between dots: `data.task.id`, `resp.items.0.ip`.
    pub path: String,
}

/// A task of the standard operations platform: created, started, then asked after until it ends (reference/bk-itsm.md 8.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Where the platform's calls are, such as `https://gateway/api/c/compapi/v2/sops`.
    pub url: String,
    pub bk_biz_id: String,
    pub template_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template_source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constants: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_task_nodes_id: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// Times it is asked after, 10 s apart, before the node fails.
    #[serde(default = "a_day")]
    pub polls_max: u32,
}

fn a_day() -> u32 {
    8640
}

/// Where a field's options stand in another system: what is asked, and where in the answer the rows are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub request: Request,
    /// The list of rows, members between dots, looked for in the answer and then in its `data`: `data.info`, `items`. Empty is the answer itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rows: String,
}
