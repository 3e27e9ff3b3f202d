//! The service tasks of a workflow: the work of automatic nodes. A service task is an HTTP request,
//! a task of BlueKing SOPS, a request for approval in an external ITSM, or a mission of a robot. The
//! texts may contain placeholders for values of the ticket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Condition;

/// The work of an automatic node. An external system executes this work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum ServiceTask {
    Request(Request),
    Task(Task),
    Application(Application),
    Mission(Mission),
}

/// The aggregate that executes the service task of an automatic node: an API call, an application,
/// or the dispatch of a robot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Executor {
    #[default]
    ApiCall,
    Application,
    Dispatch,
}

impl Executor {
    /// Returns true if an API call executes the service task. This is the default.
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
            Self::Mission(_) => Executor::Dispatch,
        }
    }
}

/// A request for approval. The desk sends the request to an external ITSM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The name of the application kind, which contains the settings for the external ITSM.
    pub kind: String,
    /// Fields of the ticket in the external ITSM. If the application kind has a field with the same
    /// key, the field in this list replaces it. The values may contain placeholders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
}

/// Work for a robot of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mission {
    /// The name of the task type.
    pub task_type: String,
    /// The name of the site.
    pub site: String,
    /// The name of the station at which the robot works. The value may contain placeholders.
    pub station: String,
    /// Parameters of the action of the robot. The values may contain placeholders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Pair>,
    /// Time in minutes after which a person gets the work, if no robot has begun it.
    #[serde(default = "ten")]
    pub expires_after_min: u32,
}

fn ten() -> u32 {
    10
}

/// One HTTP request. Its texts may contain the placeholder `${key}` for a field, a variable or an
/// attribute of the ticket. The value is inserted as text and is never executed as code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair>,
    /// The body as JSON. If a text in the body consists of exactly one placeholder, the value
    /// replaces the text and keeps its JSON type. If the body is a single text, it is sent as plain
    /// text. Form fields are an object, or an ordered list of objects with `key` and `value`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// The JSON schema of the body. After all placeholders are replaced, the body is converted to
    /// the types in this schema. Null if the external system publishes no schema.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body_schema: Value,
    /// The name of a secret in the key store that contains further headers. The text is empty if no
    /// secret is needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The kind of credentials that an imported file requires (`bearer_token`, `basic_auth`). The
    /// import does not read the credentials, because they are plain text in the file. If a kind is
    /// present, a person must configure a `secret` before the deployment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credentials: String,
    /// The name of the BlueKing system that receives the request. It is needed if the imported file
    /// contains only a path. The text is empty if `url` contains the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    #[serde(default = "ten_seconds")]
    pub timeout_ms: i64,
    /// The maximum number of attempts for a request without a usable response. All attempts send
    /// the same `Idempotency-Key`.
    #[serde(default = "once")]
    pub attempts_max: u32,
    /// The condition for a successful response. If absent, the response to an API request must
    /// contain `result: true`. The response to a webhook must then be valid JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// The output variables that get their values from the response.
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

/// The settings for repeated requests. The desk sends the request again until the condition `until`
/// is true for the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub interval_ms: i64,
    pub times_max: u32,
    pub until: Condition,
}

/// An output variable, and the path to its value in a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMapping {
    pub key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path to the value. Dots separate the names, as in `data.task.id` or `resp.items.0.ip`.
    pub path: String,
}

/// A task of BlueKing SOPS. The desk creates the task and starts it. Then the desk reads the state
/// of the task until the task has ended (reference/bk-itsm.md 8.2).
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
    /// The maximum number of times that the desk reads the state of the task. The pause between two
    /// reads is 10 s. If the task has not ended after the last read, the node fails.
    #[serde(default = "a_day")]
    pub polls_max: u32,
}

fn a_day() -> u32 {
    8640
}

/// An external source of the options of a field: the request, and the path to the rows in the
/// response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub request: Request,
    /// The path to the list of rows, such as `data.info`. The desk searches the path first in the
    /// response and then in its member `data`. If the path is empty, the rows are in `data`, or the
    /// response itself is the list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rows: String,
}
