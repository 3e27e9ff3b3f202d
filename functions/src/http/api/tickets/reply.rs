//! Defines the bodies of responses about tickets in the API `/v1`.

use events::ticket::{NodeStatus, Relation, ServiceKind};
use events::workflow::FieldKind;
use serde::Serialize;
use serde_json::Value;

#[cfg(test)]
use crate::http::api::reply::schema;
use crate::http::api::reply::{Open, Time};

/// One page of a ticket list.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct TicketPage {
    /// The number of tickets in the whole list.
    pub count: usize,
    pub page: usize,
    pub page_size: usize,
    pub items: Vec<Ticket>,
}

/// A ticket. The members `fields`, `operations` and `dynamic_fields` are absent in lists.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct Ticket {
    pub id: i64,
    /// The ticket number.
    pub sn: String,
    pub title: String,
    pub catalog_id: i64,
    pub service_id: i64,
    /// The kind of the service, under the name that BlueKing ITSM uses.
    #[cfg_attr(test, schemars(schema_with = "schema::service_kind"))]
    pub service_type: ServiceKind,
    #[cfg_attr(test, schemars(schema_with = "schema::service_kind"))]
    pub kind: ServiceKind,
    /// The workflow and its version in one number, as in BlueKing ITSM.
    pub flow_id: i64,
    pub workflow: i64,
    pub workflow_version: i64,
    /// A built-in status, or a status of the workflow.
    pub current_status: String,
    /// The id of the rating as in BlueKing ITSM, or an empty text.
    pub comment_id: String,
    pub is_commented: bool,
    /// The people who worked on the ticket, in the order of their first actions.
    pub updated_by: Vec<String>,
    pub update_at: Time,
    pub end_at: Option<Time>,
    pub creator: String,
    pub create_at: Time,
    pub is_biz_need: bool,
    /// The business of the ticket, or -1.
    pub bk_biz_id: i64,
    pub tag: String,
    pub priority_key: Option<String>,
    #[serde(rename = "ticket_url")]
    pub url: String,
    #[serde(rename = "iframe_ticket_url")]
    pub iframe_url: String,
    pub nodes: Vec<TicketNode>,
    pub links: Vec<TicketLink>,
    pub followers: Vec<String>,
    /// The number of remarks.
    pub remarks: u64,
    /// The rating by the creator, from 1 to 5.
    pub stars: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FilledField>>,
    /// The operations on the whole ticket that the caller can execute now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(schema_with = "schema::ticket_operations"))]
    pub operations: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_fields: Option<Vec<ShownDynamicField>>,
}

/// The last run of a node of a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct TicketNode {
    pub node: i64,
    pub name: String,
    /// The number of times that the ticket has entered the node.
    pub round: u32,
    #[cfg_attr(test, schemars(schema_with = "schema::node_status"))]
    pub status: NodeStatus,
    /// Whether the desk executes the work of the node.
    pub automatic: bool,
    /// The result of an approval, or null.
    pub pass: Option<bool>,
    /// The people for whom the node waits.
    pub waiting_for: Vec<String>,
    pub votes: Vec<ShownVote>,
    pub reason: String,
    /// The number of escalations.
    pub level: u32,
    /// The operations on the node that the caller can execute now. The member is absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(schema_with = "schema::node_operations"))]
    pub operations: Option<Vec<&'static str>>,
}

/// The vote of one person at an approval.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Vote"))]
pub(in crate::http::api) struct ShownVote {
    pub by: String,
    pub pass: bool,
    pub reason: String,
}

/// A link to another ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct TicketLink {
    pub sn: String,
    #[cfg_attr(test, schemars(schema_with = "schema::relation"))]
    pub relation: Relation,
}

/// A form field with its value.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct FilledField {
    pub id: i64,
    pub key: String,
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(schema_with = "schema::field_type"))]
    pub kind: FieldKind,
    pub name: String,
    pub desc: String,
    /// The value in words, for example the names of selected options.
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    pub display_value: Value,
    /// The value, or null.
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    pub value: Value,
}

/// An additional field that the app added when it opened the ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DynamicField"))]
pub(in crate::http::api) struct ShownDynamicField {
    pub key: String,
    pub name: String,
    /// `STRING`, `INT` or `LINK`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    pub meta: Value,
}

/// A new ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct NewTicket {
    pub sn: String,
    pub id: i64,
    /// The page of the ticket.
    pub url: String,
}

/// The state of a ticket after an operation.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct ChangedTicket {
    pub sn: String,
    /// The version of the ticket, which is also its entity tag.
    pub version: i64,
    pub status: String,
    /// For example, the name of a person whom the desk does not know.
    pub warnings: Vec<String>,
}

/// The results of several decisions, in the order of the request.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct DecisionResults {
    pub results: Vec<DecisionResult>,
}

/// The result of one decision.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct DecisionResult {
    pub sn: String,
    pub node: i64,
    /// Whether the decision was executed.
    pub done: bool,
    /// The status of the ticket after the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The reason why the decision was not executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The events of a ticket, oldest first.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct TicketEvents {
    pub sn: String,
    pub events: Vec<ShownEvent>,
}

/// One event of a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Event"))]
pub(in crate::http::api) struct ShownEvent {
    pub id: String,
    pub at: Time,
    pub actor: String,
    /// The type of the event and its data.
    pub event: Open,
}

/// The remarks of a ticket, oldest first.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http::api) struct Remarks {
    pub sn: String,
    /// The number of all remarks of the ticket.
    pub count: u64,
    #[serde(rename = "remarks")]
    pub shown: Vec<ShownRemark>,
}

/// One remark.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Remark"))]
pub(in crate::http::api) struct ShownRemark {
    pub id: u64,
    /// The remark that this remark answers, or null.
    pub parent: Option<u64>,
    pub by: String,
    pub text: String,
    /// Whether only people who work on the ticket see the remark.
    pub internal: bool,
    pub mentions: Vec<String>,
    /// The ids of the files that belong to the remark, such as the attachments of a mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    pub at: Time,
}
