//! Implements the BlueKing API (reference/bk-itsm.md 1-3). Each operation has several paths.
//! Operations that only read accept both GET and POST. A caller sends its credentials in the
//! headers or as parameters. All responses have the same format.

mod answer;
mod approvals;
mod backoffice;
mod collaboration;
mod lists;
mod logs;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "only the API description, which tests build, contains the types"
    )
)]
mod parameters;
mod reads;
pub mod render;
mod request;
mod writes;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::Response;
use events::app::Scope;
use infra::{Error, Kind};

use crate::App;
use answer::{Refused, Said, WireError};
use request::Asked;

/// The time limit for handling a request. API gateways wait at most 30 seconds for a response. This
/// limit is shorter, so that the client gets an error in the format of this API.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// The operations of the BlueKing API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    CreateTicket,
    GetServices,
    GetServiceCatalogs,
    GetServiceDetail,
    GetTickets,
    GetTicketInfo,
    GetTicketLogs,
    GetTicketStatus,
    OperateNode,
    OperateTicket,
    TokenVerify,
    TicketApprovalResult,
    CallbackFailedTicket,
    GetServiceRoles,
    GetWorkflowDetail,
    GetTicketsByUser,
    GetApprover,
    GetApproveNodeResult,
    GetFastApprovalSummary,
    Approve,
    ProceedApproval,
    ProceedFastApproval,
    Comment,
    AddFollower,
    EditField,
    CreateServiceCatalog,
    ImportService,
    UpdateService,
    PluginServices,
    PluginFields,
}

/// All operations with their names in the request path. Three operations have two names
/// (reference/bk-itsm.md 1.1).
const OPERATIONS: [(&str, Operation); 33] = [
    ("create_ticket", Operation::CreateTicket),
    ("get_services", Operation::GetServices),
    ("get_service_catalogs", Operation::GetServiceCatalogs),
    ("get_service_detail", Operation::GetServiceDetail),
    ("get_service_roles", Operation::GetServiceRoles),
    ("get_tickets", Operation::GetTickets),
    ("get_all_tickets", Operation::GetTickets),
    ("get_tickets_by_user", Operation::GetTicketsByUser),
    ("get_ticket_info", Operation::GetTicketInfo),
    ("get_ticket_logs", Operation::GetTicketLogs),
    ("get_ticket_status", Operation::GetTicketStatus),
    ("get_workflow_detail", Operation::GetWorkflowDetail),
    ("get_approver", Operation::GetApprover),
    ("get_approve_node_result", Operation::GetApproveNodeResult),
    (
        "get_fast_approval_summary",
        Operation::GetFastApprovalSummary,
    ),
    ("operate_node", Operation::OperateNode),
    ("operate_ticket", Operation::OperateTicket),
    ("approve", Operation::Approve),
    ("proceed_approval", Operation::ProceedApproval),
    ("proceed_fast_approval", Operation::ProceedFastApproval),
    ("comment_ticket", Operation::Comment),
    ("comment", Operation::Comment),
    ("add_follower", Operation::AddFollower),
    ("edit_field", Operation::EditField),
    ("token/verify", Operation::TokenVerify),
    ("ticket_approval_result", Operation::TicketApprovalResult),
    ("callback_failed_ticket", Operation::CallbackFailedTicket),
    ("create_service_catalog", Operation::CreateServiceCatalog),
    ("import_service", Operation::ImportService),
    ("update_service", Operation::UpdateService),
    ("token_verify", Operation::TokenVerify),
    ("devops_plugin/services", Operation::PluginServices),
    ("devops_plugin/fields", Operation::PluginFields),
];

impl Operation {
    fn named(name: &str) -> Option<Self> {
        OPERATIONS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, operation)| *operation)
    }

    /// Returns the part of the APIs that an app needs for the operation.
    fn scope(self) -> Scope {
        match self {
            Self::CreateServiceCatalog | Self::ImportService | Self::UpdateService => Scope::Admin,
            _ => Scope::Tickets,
        }
    }

    /// Returns whether an operation changes data. Operations that change data accept only POST. All
    /// other operations accept GET and POST.
    fn is_write(self) -> bool {
        use Operation::{
            AddFollower, Approve, Comment, CreateServiceCatalog, CreateTicket, EditField,
            ImportService, OperateNode, OperateTicket, ProceedApproval, ProceedFastApproval,
            UpdateService,
        };
        matches!(
            self,
            CreateTicket
                | OperateNode
                | OperateTicket
                | Approve
                | ProceedApproval
                | ProceedFastApproval
                | Comment
                | AddFollower
                | EditField
                | CreateServiceCatalog
                | ImportService
                | UpdateService
        )
    }
}

/// Returns the name of each operation in the request path. The boolean beside each name is true if
/// the operation changes data.
pub fn names() -> impl Iterator<Item = (&'static str, bool)> {
    OPERATIONS
        .iter()
        .map(|(name, operation)| (*name, operation.is_write()))
}

/// The description of an operation for the OpenAPI document.
#[cfg(test)]
pub struct Described {
    /// The name of the operation in the request path.
    pub name: &'static str,
    /// The description of each query parameter, or `None` if the operation accepts only POST.
    pub query: Option<Vec<serde_json::Value>>,
    /// The JSON schema of the body.
    pub body: serde_json::Value,
    /// The part of the APIs that an app needs for the operation.
    pub scope: Scope,
}

/// Returns the description of each operation.
#[cfg(test)]
pub fn described() -> impl Iterator<Item = Described> {
    OPERATIONS.iter().map(|(name, operation)| {
        let parameters = || parameters::of(*operation).iter().copied().flatten();
        let properties: serde_json::Map<_, _> = parameters()
            .map(|parameter| (parameter.name.to_owned(), parameter.schema()))
            .collect();
        let required: Vec<&str> = parameters()
            .filter(|parameter| parameter.is_required)
            .map(|parameter| parameter.name)
            .collect();
        Described {
            name,
            scope: operation.scope(),
            query: (!operation.is_write()).then(|| {
                parameters()
                    .filter_map(parameters::Parameter::in_query)
                    .collect()
            }),
            body: serde_json::json!({ "type": "object", "properties": properties, "required": required }),
        }
    })
}

/// Returns whether a path belongs to an operation that only reads data.
pub(super) fn is_read(path: &str) -> bool {
    operation(path).is_some_and(|operation| !operation.is_write())
}

/// Returns the operation that belongs to a path, or `None` if the path is unknown.
///
/// The function ignores repeated slashes and a slash at the end. It also ignores path segments
/// before the API prefix, because API gateways add such segments.
fn operation(path: &str) -> Option<Operation> {
    Operation::named(&operation_name(path)?)
}

/// Returns the name of the operation in a path. Returns `None` if the path does not begin like the paths of this API.
fn operation_name(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let after = |marker: &[&str]| {
        parts
            .windows(marker.len())
            .position(|window| window == marker)
            .map(|at| parts[at + marker.len()..].join("/"))
    };
    after(&["api", "c", "compapi", "v2", "itsm"])
        .or_else(|| after(&["api", "c", "compapi", "itsm"]))
        .or_else(|| after(&["v2", "itsm"]))
        .or_else(|| {
            after(&["openapi", "v2", "ticket"]).or_else(|| after(&["openapi", "v2", "service"]))
        })
        .or_else(|| after(&["openapi", "ticket"]).or_else(|| after(&["openapi", "service"])))
        .or_else(|| after(&["openapi", "workflow"]))
        .or_else(|| {
            after(&["openapi"])
                .or_else(|| after(&["v2"]))
                .filter(|name| name.starts_with("devops_plugin/"))
        })
        .or_else(|| {
            (parts.ends_with(&["openapi", "service_catalog"]))
                .then(|| "create_service_catalog".to_owned())
        })
}

/// Converts an error to an error response. The number of unread response bytes of a caller is
/// limited. Above this limit, the desk sends the error response instead of the next large response.
pub(super) fn refused(error: Error, request_id: &str) -> Response {
    answer::failure(&error.into(), request_id)
}

/// Rejects a request to a path that accepts only GET and HEAD, such as `/healthz`. The router calls
/// this function for all other methods.
pub async fn only_read(State(app): State<App>, request: Request) -> Response {
    let request_id = render::request_id(request.headers(), &app);
    match tokio::time::timeout(REQUEST_TIMEOUT, Asked::read(&app, request)).await {
        Ok(Err(Refused::Forbidden(reason))) => answer::forbidden(&reason, &request_id),
        _ => answer::only_read(&request_id),
    }
}

/// Returns true if a path belongs to this API. The operation after the prefix may be unknown.
pub fn has_prefix(path: &str) -> bool {
    operation_name(path).is_some()
}

/// Handles all requests whose paths belong to no other API.
pub async fn command(State(app): State<App>, request: Request) -> Response {
    let operation = operation(request.uri().path());
    let request_id = render::request_id(request.headers(), &app);
    let handled = tokio::time::timeout(
        REQUEST_TIMEOUT,
        handle(&app, operation, request, &request_id),
    )
    .await;
    let timed_out = || {
        Refused::WireError(
            Error::new(
                Kind::Timeout,
                format!("{operation:?} took longer than {REQUEST_TIMEOUT:?}"),
            )
            .into(),
        )
    };
    match handled.unwrap_or_else(|_| Err(timed_out())) {
        Ok(success) => answer::success(&success, &request_id),
        Err(Refused::Forbidden(reason)) => answer::forbidden(&reason, &request_id),
        Err(Refused::NoPath) => answer::no_path(&request_id),
        Err(Refused::WireError(error)) => answer::failure(&error, &request_id),
    }
}

async fn handle(
    app: &App,
    operation: Option<Operation>,
    request: Request<Body>,
    request_id: &str,
) -> Result<Said, Refused> {
    let user_agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let method = request.method().clone();
    // The credentials are checked before the path and the method. A caller without credentials can
    // therefore not find out which paths and methods exist.
    let request = Asked::read(app, request).await?;
    let Some(operation) = operation else {
        return Err(Refused::NoPath);
    };
    if request.caller.lacks(&[operation.scope()]).is_some() {
        let reason = format!(
            "权限不足: 应用【{}】未获得权限范围【{}】",
            request.caller.app,
            operation.scope().key()
        );
        return Err(WireError::new(3_900_015, reason).into());
    }
    if !matches!(method, Method::GET | Method::POST)
        || (operation.is_write() && method != Method::POST)
    {
        return Err(WireError::new(3_900_002, format!("方法不允许: {method}")).into());
    }
    let data = match operation {
        Operation::CreateTicket => {
            writes::create_ticket(app, &request, request_id, user_agent).await
        }
        Operation::OperateNode => writes::operate_node(app, &request, request_id).await,
        Operation::OperateTicket => writes::operate_ticket(app, &request, request_id).await,
        Operation::GetServices => reads::services(app, &request).await,
        Operation::GetServiceCatalogs => reads::catalogs(app, &request).await,
        Operation::GetServiceDetail => reads::service_detail(app, &request).await,
        Operation::GetTickets => lists::tickets(app, &request).await,
        Operation::GetTicketInfo => reads::ticket_info(app, &request).await,
        Operation::GetTicketStatus => reads::ticket_status(app, &request).await,
        Operation::GetTicketLogs => logs::ticket_logs(app, &request).await,
        Operation::TokenVerify => reads::token_verify(app, &request).await,
        Operation::TicketApprovalResult => reads::approval_results(app, &request, request_id).await,
        Operation::CallbackFailedTicket => reads::failed_callbacks(app, &request).await,
        Operation::PluginServices => reads::plugin_services(app).await,
        Operation::PluginFields => reads::plugin_fields(app, &request).await,
        Operation::GetServiceRoles => backoffice::service_roles(app, &request).await,
        Operation::GetWorkflowDetail => backoffice::workflow_detail(app, &request).await,
        Operation::GetTicketsByUser => lists::tickets_by_user(app, &request).await,
        Operation::GetApprover => approvals::approver(app, &request).await,
        Operation::GetApproveNodeResult => approvals::node_result(app, &request).await,
        Operation::GetFastApprovalSummary => approvals::summary(app, &request).await,
        Operation::Approve => approvals::approve(app, &request, request_id).await,
        Operation::ProceedApproval => approvals::proceed_approval(app, &request, request_id).await,
        Operation::ProceedFastApproval => {
            return Ok(approvals::proceed_fast_approval(app, &request, request_id).await?);
        }
        Operation::Comment => collaboration::comment(app, &request, request_id).await,
        Operation::AddFollower => collaboration::add_follower(app, &request, request_id).await,
        Operation::EditField => collaboration::edit_field(app, &request, request_id).await,
        Operation::CreateServiceCatalog => {
            backoffice::create_catalog(app, &request, request_id).await
        }
        Operation::ImportService => {
            backoffice::import_service(app, &request, request_id, false).await
        }
        Operation::UpdateService => {
            backoffice::import_service(app, &request, request_id, true).await
        }
    };
    Ok(data?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_path_variants_name_the_same_operation() {
        for path in [
            "/api/c/compapi/v2/itsm/create_ticket/",
            "/api/c/compapi/itsm/create_ticket/",
            "//api/c/compapi/v2/itsm/create_ticket/",
            "/v2/itsm/create_ticket",
            "/prod/v2/itsm/create_ticket/",
            "/a/b/v2/itsm/create_ticket/",
            "/openapi/ticket/create_ticket/",
            "/openapi/v2/ticket/create_ticket/",
        ] {
            assert_eq!(operation(path), Some(Operation::CreateTicket), "{path}");
        }
        assert_eq!(
            operation("/v2/itsm/token/verify/"),
            Some(Operation::TokenVerify)
        );
        assert_eq!(
            operation("/openapi/service/get_services/"),
            Some(Operation::GetServices)
        );
        assert_eq!(
            operation("/prod/v2/devops_plugin/services/"),
            Some(Operation::PluginServices)
        );
        assert_eq!(
            operation("/openapi/devops_plugin/fields/"),
            Some(Operation::PluginFields)
        );
        assert_eq!(operation("/api/c/compapi/v2/cmdb/create_ticket/"), None);
        assert_eq!(operation("/"), None);
    }
}
