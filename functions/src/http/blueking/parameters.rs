//! Lists the parameters of each operation of the BlueKing API (reference/bk-itsm.md 3). The API
//! description contains these lists. [`super::request::Asked`] compares them with the parameters
//! that the handlers read.

#[cfg(test)]
use serde_json::{Value, json};

use super::Operation;

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text. The API also accepts a number.
    Text,
    /// An integer, also as text.
    Integer,
    /// `true` or `false`, also as text.
    Flag,
    /// Texts: a list, or one text in which commas separate the texts.
    Texts,
    /// A local time such as `2026-07-01 12:30:00`, or an ISO 8601 time.
    Time,
    /// The number of a page, or `last`.
    Page,
    /// A JSON object.
    Object,
    /// A list of JSON objects. In each object, the listed members are required.
    Objects(&'static [&'static str]),
    /// A workflow in the export format of BlueKing ITSM.
    Workflow,
}

/// One parameter. A caller sends it in the query or as a member of the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// If true, an error response names the parameter when it is absent.
    pub(super) is_required: bool,
}

const fn required(name: &'static str, shape: Shape) -> Parameter {
    Parameter {
        name,
        shape,
        is_required: true,
    }
}

const fn optional(name: &'static str, shape: Shape) -> Parameter {
    Parameter {
        name,
        shape,
        is_required: false,
    }
}

/// The filters and the page of a ticket list.
const LIST: [Parameter; 14] = [
    optional("username", Shape::Text),
    optional("creator", Shape::Text),
    optional("sns", Shape::Texts),
    optional("current_status__in", Shape::Texts),
    optional("service_id__in", Shape::Texts),
    optional("bk_biz_id__in", Shape::Texts),
    optional("service_type", Shape::Texts),
    optional("tag", Shape::Text),
    optional("create_at__gte", Shape::Time),
    optional("create_at__lte", Shape::Time),
    optional("end_at__gte", Shape::Time),
    optional("end_at__lte", Shape::Time),
    optional("page", Shape::Page),
    optional("page_size", Shape::Integer),
];

/// The filters that only the list of one person has.
const LIST_OF_PERSON: [Parameter; 4] = [
    optional("user", Shape::Text),
    optional("view_type", Shape::Text),
    optional("catalog_id", Shape::Texts),
    optional("service_id", Shape::Texts),
];

const SN: [Parameter; 1] = [required("sn", Shape::Text)];

const NODE: [Parameter; 2] = [
    required("sn", Shape::Text),
    required("state_id", Shape::Integer),
];

/// A service and its workflow.
const SERVICE: [Parameter; 10] = [
    required("name", Shape::Text),
    required("key", Shape::Text),
    optional("desc", Shape::Text),
    optional("is_valid", Shape::Flag),
    optional("display_type", Shape::Text),
    optional("display_role", Shape::Texts),
    optional("owners", Shape::Texts),
    optional("catalog_id", Shape::Integer),
    optional("can_ticket_agency", Shape::Flag),
    required("workflow", Shape::Workflow),
];

const CREATE_TICKET: [Parameter; 9] = [
    optional("service_id", Shape::Integer),
    optional("fast_approval", Shape::Flag),
    optional("creator", Shape::Text),
    required("fields", Shape::Objects(&["key", "value"])),
    optional("meta", Shape::Object),
    optional("dynamic_fields", Shape::Objects(&["name", "type"])),
    optional("tag", Shape::Text),
    optional("from_ticket_id", Shape::Integer),
    optional("attention", Shape::Flag),
];

const OPERATE_NODE: [Parameter; 8] = [
    required("sn", Shape::Text),
    required("operator", Shape::Text),
    required("state_id", Shape::Integer),
    required("action_type", Shape::Text),
    optional("action_message", Shape::Text),
    optional("fields", Shape::Objects(&["key", "value"])),
    optional("processors_type", Shape::Text),
    optional("processors", Shape::Text),
];

const OPERATE_TICKET: [Parameter; 5] = [
    required("sn", Shape::Text),
    optional("operator", Shape::Text),
    optional("username", Shape::Text),
    required("action_type", Shape::Text),
    optional("action_message", Shape::Text),
];

const CREATE_CATALOG: [Parameter; 4] = [
    optional("parent__id", Shape::Integer),
    optional("parent_id", Shape::Integer),
    required("name", Shape::Text),
    optional("desc", Shape::Text),
];

/// Makes a list of groups of parameters that exists for the whole run of the program.
macro_rules! groups {
    ($($group:expr),* $(,)?) => {
        const { &[$($group),*] }
    };
}

/// Returns the parameters of an operation, in groups.
pub(super) fn of(operation: Operation) -> &'static [&'static [Parameter]] {
    match operation {
        Operation::CreateTicket => groups![&CREATE_TICKET],
        Operation::GetServices => groups![&[
            optional("catalog_id", Shape::Integer),
            optional("service_type", Shape::Text),
            optional("display_type", Shape::Text),
            optional("display_role", Shape::Text),
        ]],
        Operation::GetServiceCatalogs => groups![&[
            optional("has_service", Shape::Flag),
            optional("service_key", Shape::Text),
            optional("name", Shape::Text),
        ]],
        Operation::GetServiceDetail | Operation::PluginFields => {
            groups![&[required("service_id", Shape::Integer)]]
        }
        Operation::GetTickets => groups![&LIST],
        Operation::GetTicketsByUser => groups![&LIST, &LIST_OF_PERSON],
        Operation::GetTicketInfo
        | Operation::GetTicketStatus
        | Operation::GetFastApprovalSummary => groups![&SN],
        Operation::GetTicketLogs => groups![&SN, &[optional("show_type", Shape::Text)]],
        Operation::OperateNode => groups![&OPERATE_NODE],
        Operation::OperateTicket => groups![&OPERATE_TICKET],
        Operation::TokenVerify => {
            groups![&[required("token", Shape::Text), optional("sn", Shape::Text),]]
        }
        Operation::TicketApprovalResult => groups![&[required("sn", Shape::Texts)]],
        Operation::CallbackFailedTicket | Operation::PluginServices => groups![],
        Operation::GetServiceRoles => groups![&[
            required("service_id", Shape::Integer),
            optional("ticket_creator", Shape::Text),
        ]],
        Operation::GetWorkflowDetail => groups![&[required("workflow_id", Shape::Integer)]],
        Operation::GetApprover | Operation::GetApproveNodeResult => groups![&NODE],
        Operation::Approve => groups![
            &NODE,
            &[
                required("approver", Shape::Text),
                required("action", Shape::Flag),
                optional("remark", Shape::Text),
            ],
        ],
        Operation::ProceedApproval => groups![&[
            required("process_inst_id", Shape::Text),
            required("activity", Shape::Integer),
            required("handler", Shape::Text),
            required("submit_action", Shape::Flag),
            optional("submit_opinion", Shape::Text),
        ]],
        Operation::ProceedFastApproval => groups![&[
            required("context", Shape::Object),
            required("approver", Shape::Text),
            required("status", Shape::Flag),
        ]],
        Operation::Comment => groups![&[
            required("sn", Shape::Text),
            required("stars", Shape::Integer),
            optional("comments", Shape::Text),
            required("operator", Shape::Text),
        ]],
        Operation::AddFollower => groups![&[
            required("sn", Shape::Text),
            required("users", Shape::Texts),
            optional("attention", Shape::Flag),
            optional("operator", Shape::Text),
        ]],
        Operation::EditField => groups![&[
            required("sn", Shape::Text),
            required("operator", Shape::Text),
            optional("fields", Shape::Objects(&["key", "value"])),
            optional("field", Shape::Object),
        ]],
        Operation::CreateServiceCatalog => groups![&CREATE_CATALOG],
        Operation::ImportService => groups![&SERVICE],
        Operation::UpdateService => groups![&[required("id", Shape::Integer)], &SERVICE],
    }
}

/// Returns whether a handler of `operation` may read the parameter `name`.
pub(super) fn is_known(operation: Operation, name: &str) -> bool {
    let parameters = of(operation).iter().copied().flatten();
    parameters.into_iter().any(|known| known.name == name)
}

#[cfg(test)]
impl Parameter {
    /// Returns the JSON schema of the value in a body. The API ignores an optional parameter that is
    /// null.
    pub(super) fn schema(&self) -> Value {
        let mut schema = match self.shape {
            Shape::Text => json!({ "type": ["string", "integer"] }),
            Shape::Integer => json!({ "type": ["integer", "string"] }),
            Shape::Flag => json!({ "type": ["boolean", "string"] }),
            Shape::Texts => {
                json!({ "type": ["array", "string", "integer"], "items": { "type": ["string", "integer"] } })
            }
            Shape::Time => json!({ "type": "string" }),
            Shape::Page => json!({ "type": ["integer", "string"] }),
            Shape::Object => json!({ "type": "object" }),
            Shape::Objects(members) => {
                json!({ "type": "array", "items": { "type": "object", "required": members } })
            }
            Shape::Workflow => {
                json!({ "type": ["object", "array"], "items": { "type": "object" } })
            }
        };
        if !self.is_required {
            let types = match &schema["type"] {
                Value::Array(types) => types.clone(),
                one => vec![one.clone()],
            };
            schema["type"] = types.into_iter().chain([json!("null")]).collect();
        }
        schema
    }

    /// Returns the description of the parameter in a query, or `None` for a value that a query
    /// cannot contain.
    pub(super) fn in_query(&self) -> Option<Value> {
        let schema = match self.shape {
            Shape::Objects(_) | Shape::Object | Shape::Workflow => return None,
            Shape::Integer => json!({ "type": "integer" }),
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::Text | Shape::Texts | Shape::Time | Shape::Page => json!({ "type": "string" }),
        };
        Some(
            json!({ "name": self.name, "in": "query", "required": self.is_required, "schema": schema }),
        )
    }
}
