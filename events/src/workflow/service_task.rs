//! Service tasks of a workflow definition: HTTP requests and SOPS tasks with placeholders for
//! values of the ticket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Condition;

/// The operation that an automatic node executes in an external system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum ServiceTask {
    Request(Request),
    Task(Task),
}

/// One HTTP request. Texts may contain the placeholder `${key}` for a field, a variable or an
/// attribute of the ticket. Placeholders are replaced as text and never evaluated as code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair>,
    /// JSON with placeholders in its texts: a text that is only one placeholder becomes the value
    /// itself. If the body is one text, that text is sent with its placeholders replaced. Form
    /// fields are an object, or a list of `key` and `value` in the order of sending.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// The JSON schema that the body is converted to after replacement; null if the external system
    /// publishes none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body_schema: Value,
    /// The name of a secret in the key store that contains further headers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The kind of credentials in the imported file (`bearer_token`, `basic_auth`). The import does
    /// not read credentials, because the file has them as plain text. Deployment and sending then
    /// require a `secret`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credentials: String,
    /// The BlueKing system that has the host of this request, if the imported file has only a path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    #[serde(default = "ten_seconds")]
    pub timeout_ms: i64,
    /// Attempts in total while no response arrives; each attempt sends the same `Idempotency-Key`.
    #[serde(default = "once")]
    pub attempts_max: u32,
    /// The condition that a successful response meets. If absent, an API must return `result:
    /// true`, and a webhook any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// Variables that are read from the response.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputMapping>,
}

fn ten_seconds() -> i64 {
    10_000
}

fn once() -> u32 {
    1
}

/// A name and its value, which may contain placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

/// Repeats the request until the response meets a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub interval_ms: i64,
    pub times_max: u32,
    pub until: Condition,
}

/// A variable that is read from a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMapping {
    pub key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path of the value, with dots between members: `data.task.id`, `resp.items.0.ip`.
    pub path: String,
}

/// A task of BlueKing SOPS: the desk creates it, starts it and polls it until it ends
/// (reference/bk-itsm.md 8.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The base URL of the SOPS API, such as `https://gateway/api/c/compapi/v2/sops`.
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
    /// Polls, 10 s apart, before the node fails.
    #[serde(default = "a_day")]
    pub polls_max: u32,
}

fn a_day() -> u32 {
    8640
}

/// The source of a field's options in another system: the request and the path of the rows in the
/// response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub request: Request,
    /// The path of the list of rows, with dots between members: `data.info`, `items`. It is looked
    /// up in the response first, then in its `data`. An empty path selects the response itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rows: String,
}
