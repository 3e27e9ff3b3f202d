//! The service tasks of a workflow definition: HTTP requests and SOPS tasks. Their texts may
//! contain placeholders for values of the ticket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Condition;

/// The work that an automatic node requests from an external system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum ServiceTask {
    Request(Request),
    Task(Task),
    Application(Application),
}

/// The aggregate that executes the service task of an automatic node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Executor {
    #[default]
    ApiCall,
    Application,
}

impl Executor {
    /// Returns whether the executor is the default.
    pub fn is_api_call(&self) -> bool {
        *self == Self::ApiCall
    }
}

impl ServiceTask {
    /// Returns the aggregate that executes the service task.
    pub fn executor(&self) -> Executor {
        match self {
            Self::Request(_) | Self::Task(_) => Executor::ApiCall,
            Self::Application(_) => Executor::Application,
        }
    }
}

/// A request for approval in an external ITSM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The name of the application kind.
    pub kind: String,
    /// Fields of the external ticket. They replace fields of the application kind with the same
    /// key. The values may contain placeholders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
}

/// One HTTP request. Texts may contain the placeholder `${key}`. The key names a field, a variable
/// or an attribute of the ticket. Values are inserted as text and never evaluated as code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair>,
    /// The body as JSON whose texts may contain placeholders. A text that consists of one
    /// placeholder is replaced by the value itself. A body that is a single text is sent as text.
    /// Form fields are an object, or a list of `key` and `value` in the order of sending.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// The JSON schema to which the body is converted after the placeholders are replaced. Null if
    /// the external system publishes no schema.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body_schema: Value,
    /// The name of a secret in the key store. The secret contains further headers; empty if no
    /// secret is needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The kind of credentials in an imported file (`bearer_token`, `basic_auth`). The import does
    /// not read credentials, because the file contains credentials as plain text. If a kind is
    /// present, the deployment and the request require a `secret`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credentials: String,
    /// The name of the BlueKing system to which the request is sent, if the imported file contains
    /// only a path. Empty if `url` contains the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    #[serde(default = "ten_seconds")]
    pub timeout_ms: i64,
    /// The maximum number of attempts if no usable response arrives. Each attempt sends the same
    /// `Idempotency-Key`.
    #[serde(default = "once")]
    pub attempts_max: u32,
    /// The condition that a successful response must meet. If absent, an API must return
    /// `result: true`, and a webhook must return any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// The output variables that are read from the response.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputMapping>,
}

fn ten_seconds() -> i64 {
    10_000
}

fn once() -> u32 {
    1
}

/// A name and a value. The value may contain placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

/// The poll settings of a request. The request is repeated until the response meets the condition
/// `until`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub interval_ms: i64,
    pub times_max: u32,
    pub until: Condition,
}

/// An output variable and the path of its value in a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMapping {
    pub key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path of the value. Dots separate the members, as in `data.task.id` or `resp.items.0.ip`.
    pub path: String,
}

/// A task of BlueKing SOPS. The desk creates the task, starts the task, and polls until the task
/// ends (reference/bk-itsm.md 8.2).
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
    /// The maximum number of polls, 10 s apart. After the last poll the node fails.
    #[serde(default = "a_day")]
    pub polls_max: u32,
}

fn a_day() -> u32 {
    8640
}

/// The external source of a field's options: the request, and the path of the rows in the response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub request: Request,
    /// The path of the list of rows, with dots between members, such as `data.info`. The path is
    /// searched in the response first, then in the member `data`. An empty path selects `data`, or
    /// else the response itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rows: String,
}
