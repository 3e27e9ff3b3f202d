//! Defines the service tasks of a workflow. A service task is the work of an automatic node. The work can
//! be an HTTP request, a task of BlueKing SOPS, a request for approval in an external ITSM, or work for a
//! robot. The texts of a service task may contain placeholders for values of the ticket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Condition;

/// The work that an external system does for an automatic node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum ServiceTask {
    Request(Request),
    Task(Task),
    Application(Application),
    Mission(Mission),
}

/// The kind of object that executes the work of an automatic node: an API call, an application (a request for
/// approval in an external ITSM) or a mission of a robot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Executor {
    #[default]
    ApiCall,
    Application,
    Dispatch,
}

impl Executor {
    /// Returns true if an API call executes the work. An API call is the default.
    pub fn is_api_call(&self) -> bool {
        *self == Self::ApiCall
    }
}

impl ServiceTask {
    /// Returns the kind of object that executes the service task: an API call, an application or a mission.
    pub fn executor(&self) -> Executor {
        match self {
            Self::Request(_) | Self::Task(_) => Executor::ApiCall,
            Self::Application(_) => Executor::Application,
            Self::Mission(_) => Executor::Dispatch,
        }
    }
}

/// A request for approval that the desk sends to an external ITSM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The name of an application kind. An application kind contains the settings for one kind of request for
    /// approval in an external ITSM.
    pub kind: String,
    /// The fields of the ticket that the desk creates in the external ITSM. The application kind in the member
    /// `kind` can also define fields. If both define a field with the same key, the desk uses the field in this
    /// list. The values may contain placeholders for values of the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
}

/// Work for a robot of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mission {
    /// The name of the task type (the kind of work that the robot does).
    pub task_type: String,
    /// The name of the site (the place at which the robot works).
    pub site: String,
    /// The name of the station (the position on the site) at which the robot works. The value may contain
    /// placeholders for values of the ticket.
    pub station: String,
    /// The parameters of the action that the robot executes. The values may contain placeholders for values of
    /// the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Pair>,
    /// The time limit in minutes for the start of the work. If no robot begins the work within this time
    /// limit, a person gets the work.
    #[serde(default = "ten")]
    pub expires_after_min: u32,
}

fn ten() -> u32 {
    10
}

/// One HTTP request. The texts of the request may contain the placeholder `${key}` for a field, a variable or
/// an attribute of the ticket. The desk inserts the value of the field, variable or attribute as text. The
/// desk never executes this value as code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair>,
    /// The body of the request as JSON:
    /// - If a text in the body is exactly one placeholder, the value replaces the text and keeps its JSON
    ///   type.
    /// - If the body is a single text, the desk sends this text without a conversion to JSON.
    /// - For a form, the body is an object, or an ordered list of objects with `key` and `value`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// The JSON schema of the body. After the placeholders are replaced, the values in the body are converted
    /// to the types in this schema. The schema is null if the external system publishes no schema.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body_schema: Value,
    /// The name of a secret in the key store. The secret contains further headers for the request. The name
    /// is empty if the request needs no secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The kind of credentials that an imported workflow file requires, such as `bearer_token` or
    /// `basic_auth`. The import does not copy the credentials, because the file contains the credentials as
    /// plain text. A person must therefore set the member `secret` before the workflow is deployed. The kind
    /// is empty if the file requires no credentials.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credentials: String,
    /// The name of the BlueKing system that receives the request. The name is needed only if an imported
    /// workflow file contains a path without a host. The name is empty if `url` contains the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    #[serde(default = "ten_seconds")]
    pub timeout_ms: i64,
    /// The maximum number of attempts. The desk repeats the request if the response is missing or cannot be
    /// used. All attempts send the same `Idempotency-Key`.
    #[serde(default = "once")]
    pub attempts_max: u32,
    /// The condition that a successful response satisfies. If the condition is absent, a default rule
    /// applies. By default, the response to an API request must contain `result: true`, and the response to a
    /// webhook must be valid JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// The output variables of the node. The values of these variables come from the response to the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputMapping>,
}

fn ten_seconds() -> i64 {
    10_000
}

fn once() -> u32 {
    1
}

/// A name with a value. The value may contain placeholders for values of the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

/// The settings for polling. In a poll, the desk repeats a request until the response satisfies the condition
/// `until`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub interval_ms: i64,
    pub times_max: u32,
    pub until: Condition,
}

/// An output variable of an automatic node. The member `path` is the path to the value of the variable in the
/// response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMapping {
    pub key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path to the value of the variable in the response. Dots separate the parts of the path. Examples
    /// are `data.task.id` and `resp.items.0.ip`.
    pub path: String,
}

/// A task of BlueKing SOPS (an external system that runs tasks). The desk creates and starts the task. The desk
/// then reads the state of the task until the task has ended (reference/bk-itsm.md 8.2).
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
    /// The maximum number of times that the desk reads the state of the task. The desk waits 10 s between two
    /// reads. If the task has not ended after the last read, the node fails.
    #[serde(default = "a_day")]
    pub polls_max: u32,
}

fn a_day() -> u32 {
    8640
}

/// The external source of the options of a field. The member `request` reads the options. Each row of the
/// response is one option.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub request: Request,
    /// The path to the list of rows in the response, such as `data.info`. The desk searches this path first
    /// in the whole response, and then in the member `data`. If the path is empty, the list is the member
    /// `data` or the whole response.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rows: String,
}
