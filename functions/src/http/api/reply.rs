//! Defines what the responses of the API `/v1` have in common. Each body of a response is a type
//! that implements [`Reply`]. The tests derive the schema of the body in `/openapi.json` from this
//! type.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::fleet::dispatch;
use domain::itsm::application;
use domain::workflow::import::Note;
use events::Moment;
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::app::times;

/// A type that is the body of a response. The JSON schema of the type exists only in the test build
/// (decision 30).
#[cfg(not(test))]
pub(super) trait Reply: Serialize {}
#[cfg(not(test))]
impl<T: Serialize> Reply for T {}
#[cfg(test)]
pub(super) trait Reply: Serialize + schemars::JsonSchema {}
#[cfg(test)]
impl<T: Serialize + schemars::JsonSchema> Reply for T {}

/// Returns a response with status 200.
pub(super) fn ok(body: &impl Reply) -> Response {
    Json(body).into_response()
}

/// Returns a response with status 201.
pub(super) fn created(body: &impl Reply) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}

/// Returns a response with status 204, which has no body.
pub(super) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A time as RFC 3339 text in the time zone of the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(super) struct Time(
    #[cfg_attr(test, schemars(extend("format" = "date-time")))] pub(super) String,
);

/// Returns the time of a moment in the time zone of the desk.
pub(super) fn time(app: &App, at: Moment) -> Time {
    Time(times::in_zone(at, &app.settings.zone))
}

/// The result of work outside of the desk, such as a mission of a robot.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct WorkOutcome {
    pub(super) succeeded: bool,
    /// Values for the ticket, by name.
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) reason: String,
}

impl From<application::Outcome> for WorkOutcome {
    fn from(outcome: application::Outcome) -> Self {
        Self {
            succeeded: outcome.succeeded,
            outputs: outcome.outputs,
            reason: outcome.reason,
        }
    }
}

impl From<dispatch::Outcome> for WorkOutcome {
    fn from(outcome: dispatch::Outcome) -> Self {
        Self {
            succeeded: outcome.succeeded,
            outputs: outcome.outputs,
            reason: outcome.reason,
        }
    }
}

/// Returns the text, or `None` if it is empty.
pub(super) fn not_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// One difference between an imported file and the workflow of the desk.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum ImportNote {
    /// The import changed a part of the file.
    Changed(Difference),
    /// The import omitted a part of the file.
    Dropped(Difference),
    /// The file lacks a part that a deployment requires.
    Missing(Difference),
}

/// A part of an imported file, and what the import did with it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Difference {
    place: String,
    what: String,
}

impl From<Note> for ImportNote {
    fn from(note: Note) -> Self {
        match note {
            Note::Changed { place, what } => Self::Changed(Difference { place, what }),
            Note::Dropped { place, what } => Self::Dropped(Difference { place, what }),
            Note::Missing { place, what } => Self::Missing(Difference { place, what }),
        }
    }
}

/// An object whose members the schema does not list, for example an event of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Open(pub(super) Value);

#[cfg(test)]
impl schemars::JsonSchema for Open {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Open".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": true })
    }
}

/// The schemas of members whose types belong to other crates. These crates do not depend on the
/// generator of schemas.
#[cfg(test)]
pub(super) mod schema {
    use domain::itsm::application::Status;
    use events::notification::InboxState;
    use events::preference::{Category, Frequency};
    use events::ticket::ServiceKind;
    use schemars::{Schema, SchemaGenerator, json_schema};
    use serde_json::{Value, json};

    use crate::app::tickets::operations;
    use crate::http::api::definition::FIELD_TYPE_NAMES;
    use crate::http::api::services::DISPLAY_TYPES;

    fn words(words: &[&str]) -> Schema {
        json_schema!({ "type": "string", "enum": words })
    }
    pub(in crate::http::api) fn write_back_outcome(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "enum": ["written", "unchanged", "conflict", "failed", null] })
    }
    pub(in crate::http::api) fn application_status(_: &mut SchemaGenerator) -> Schema {
        words(&Status::ALL.map(<&str>::from))
    }
    fn reference(name: &str) -> Value {
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
    pub(in crate::http::api) fn definition(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "$ref": "#/components/schemas/Definition" })
    }
    pub(in crate::http::api) fn draft(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [reference("Definition"), { "type": "null" }] })
    }
    pub(in crate::http::api) fn field(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "$ref": "#/components/schemas/Field" })
    }
    pub(in crate::http::api) fn fields(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": reference("Field") })
    }
    pub(in crate::http::api) fn options(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": reference("Option") })
    }
    /// A value of a form field: a text, a number, a list or an object.
    pub(in crate::http::api) fn value(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
    pub(in crate::http::api) fn object(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": true })
    }
    pub(in crate::http::api) fn objects(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "type": "object", "additionalProperties": true } })
    }
    pub(in crate::http::api) fn object_or_null(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "null"], "additionalProperties": true })
    }
    pub(in crate::http::api) fn field_type(_: &mut SchemaGenerator) -> Schema {
        words(FIELD_TYPE_NAMES)
    }
    pub(in crate::http::api) fn service_kind(_: &mut SchemaGenerator) -> Schema {
        words(&ServiceKind::ALL.map(ServiceKind::key))
    }
    pub(in crate::http::api) fn node_status(_: &mut SchemaGenerator) -> Schema {
        words(&[
            "DISTRIBUTING",
            "RECEIVING",
            "RUNNING",
            "FINISHED",
            "TERMINATED",
            "FAILED",
        ])
    }
    pub(in crate::http::api) fn relation(_: &mut SchemaGenerator) -> Schema {
        words(&["raised_from", "raised", "related", "child_of", "parent_of"])
    }
    pub(in crate::http::api) fn language(_: &mut SchemaGenerator) -> Schema {
        words(&["zh-CN", "en"])
    }
    pub(in crate::http::api) fn fact(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "enum": [
                "approval_needed",
                "work_assigned",
                "reminded",
                "escalated",
                "followed",
                "progressed",
                "suspended",
                "resumed",
                "changed",
                "mentioned",
                "commented",
                "finished",
                "rating_invited",
                "terminated",
                "node_failed",
                "processors_missing",
                "callback_failed",
                "unreached",
                "escalation_step",
                "account_degraded",
                "still_waiting",
                "subscribed",
                "load_high",
                "execution_approval",
                "escalation_exhausted",
                "address_missing",
                "chain_gap",
                null,
            ],
        })
    }
    pub(in crate::http::api) fn notification_role(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "enum": [
                "processor",
                "requester",
                "follower",
                "mentioned",
                "operator",
                "on_call",
                "subscriber",
                "own_subscriber",
                "approver",
                null,
            ],
        })
    }
    pub(in crate::http::api) fn notification_outcome(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "enum": ["accepted", "inbox_only", "not_needed", null] })
    }
    pub(in crate::http::api) fn inbox_state(_: &mut SchemaGenerator) -> Schema {
        words(&InboxState::ALL.map(InboxState::name))
    }
    pub(in crate::http::api) fn receipt(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "enum": ["read", "undelivered", "missing", null] })
    }
    pub(in crate::http::api) fn progress(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "enum": ["acknowledged", "done", "ended", null] })
    }
    pub(in crate::http::api) fn category_or_null(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "enum": ["approval", "assigned", "escalated", "updated", "commented", "resolved", null],
        })
    }
    pub(in crate::http::api) fn held_reason(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "enum": ["quiet_hours", "do_not_disturb", "not_working", "in_meeting", "focused", "experiment", "learned_time", null],
        })
    }
    pub(in crate::http::api) fn skip_reason(_: &mut SchemaGenerator) -> Schema {
        words(&[
            "no_address",
            "disabled",
            "not_defined",
            "channel_off",
            "category_off",
            "capped",
            "suppressed",
            "degraded",
            "perished",
        ])
    }
    pub(in crate::http::api) fn frequency(_: &mut SchemaGenerator) -> Schema {
        words(Frequency::NAMES)
    }
    pub(in crate::http::api) fn categories(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "null"], "items": { "type": "string", "enum": Category::NAMES } })
    }
    pub(in crate::http::api) fn band(_: &mut SchemaGenerator) -> Schema {
        words(&["critical", "high", "medium", "low"])
    }
    pub(in crate::http::api) fn strategy(_: &mut SchemaGenerator) -> Schema {
        words(&["escalation", "immediate", "standard", "batch"])
    }
    pub(in crate::http::api) fn failure_class(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "enum": [
                "transient",
                "throttled",
                "permanent",
                "recipient_invalid",
                "credential",
                "too_large",
                "unknown",
                null,
            ],
        })
    }
    pub(in crate::http::api) fn level(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "enum": ["none", "limits", "files", "network", null] })
    }
    pub(in crate::http::api) fn scopes(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "null"], "items": { "type": "string", "enum": events::app::Scope::NAMES } })
    }
    pub(in crate::http::api) fn repetition(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "enum": ["at_most_once", "at_least_once", null] })
    }
    pub(in crate::http::api) fn mission_phase(_: &mut SchemaGenerator) -> Schema {
        words(&[
            "queued",
            "offered",
            "accepted",
            "working",
            "suspect",
            "canceling",
            "done",
        ])
    }
    pub(in crate::http::api) fn display_type(_: &mut SchemaGenerator) -> Schema {
        words(&DISPLAY_TYPES)
    }
    pub(in crate::http::api) fn role_kind(_: &mut SchemaGenerator) -> Schema {
        words(&["GENERAL", "ADMIN"])
    }
    pub(in crate::http::api) fn ticket_operations(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": words(&operations::OF_TICKET) })
    }
    pub(in crate::http::api) fn node_operations(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": words(&operations::OF_NODE) })
    }
}
