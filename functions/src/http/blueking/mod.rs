//! The BlueKing door: every path variant, both methods for reads, both credential carriers, one envelope (reference/bk-itsm.md 1-3).

mod answer;
mod approvals;
mod backoffice;
mod beside;
mod lists;
mod logs;
mod reads;
pub mod render;
mod request;
mod writes;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::Response;
use infra::{Error, Kind};

use crate::App;
use answer::{Refusal, Refused, Said};
use request::Asked;

/// Longest time for a request: gateways give up after half a minute, and clients of this door want an envelope in any case.
const PATIENCE: Duration = Duration::from_secs(25);

/// Which operation, and how it may be asked for.
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

/// Every operation by the name its path has; three have two names (1.1).
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
    ("get_fast_approval_summary", Operation::GetFastApprovalSummary),
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
        OPERATIONS.iter().find(|(known, _)| *known == name).map(|(_, operation)| *operation)
    }

    /// Reads answer GET and POST alike; what writes must be a POST.
    fn is_write(self) -> bool {
        use Operation::{
            AddFollower, Approve, Comment, CreateServiceCatalog, CreateTicket, EditField, ImportService, OperateNode, OperateTicket, ProceedApproval,
            ProceedFastApproval, UpdateService,
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

/// Every operation's name, and whether it writes; for the API's description.
pub fn names() -> impl Iterator<Item = (&'static str, bool)> {
    OPERATIONS.iter().map(|(name, operation)| (*name, operation.is_write()))
}

/// Says whether a path means an operation that writes nothing.
pub(super) fn is_read(path: &str) -> bool {
    operation(path).is_some_and(|operation| !operation.is_write())
}

/// The operation a path means: slashes collapsed, the last one optional, any stage in front.
fn operation(path: &str) -> Option<Operation> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let after = |marker: &[&str]| parts.windows(marker.len()).position(|window| window == marker).map(|at| parts[at + marker.len()..].join("/"));
    let name = after(&["api", "c", "compapi", "v2", "itsm"])
        .or_else(|| after(&["api", "c", "compapi", "itsm"]))
        .or_else(|| after(&["v2", "itsm"]))
        .or_else(|| after(&["openapi", "v2", "ticket"]).or_else(|| after(&["openapi", "v2", "service"])))
        .or_else(|| after(&["openapi", "ticket"]).or_else(|| after(&["openapi", "service"])))
        .or_else(|| after(&["openapi", "workflow"]))
        .or_else(|| after(&["openapi"]).or_else(|| after(&["v2"])).filter(|name| name.starts_with("devops_plugin/")))
        .or_else(|| (parts.ends_with(&["openapi", "service_catalog"])).then(|| "create_service_catalog".to_owned()))?;
    Operation::named(&name)
}

/// What a caller gets in place of an answer that is withheld.
pub(super) fn refused(error: Error, request_id: &str) -> Response {
    answer::failure(&error.into(), request_id)
}

/// Answers any other method on a path that is only read: `/healthz` and the like.
pub async fn only_read(State(app): State<App>, request: Request) -> Response {
    let request_id = render::request_id(request.headers(), &app);
    match tokio::time::timeout(PATIENCE, Asked::read(&app, request)).await {
        Ok(Err(Refused::Forbidden(reason))) => answer::forbidden(&reason, &request_id),
        _ => answer::only_read(&request_id),
    }
}

/// Answers every path that is not another API's.
pub async fn command(State(app): State<App>, request: Request) -> Response {
    let operation = operation(request.uri().path());
    let request_id = render::request_id(request.headers(), &app);
    let handled = tokio::time::timeout(PATIENCE, handle(&app, operation, request, &request_id)).await;
    let late = || Refused::Refusal(Error::new(Kind::Timeout, format!("{operation:?} took longer than {PATIENCE:?}")).into());
    match handled.unwrap_or_else(|_| Err(late())) {
        Ok(said) => answer::success(&said, &request_id),
        Err(Refused::Forbidden(reason)) => answer::forbidden(&reason, &request_id),
        Err(Refused::NoPath) => answer::no_path(&request_id),
        Err(Refused::Refusal(refusal)) => answer::failure(&refusal, &request_id),
    }
}

async fn handle(app: &App, operation: Option<Operation>, request: Request<Body>, request_id: &str) -> Result<Said, Refused> {
    let user_agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let method = request.method().clone();
    // A caller without credentials learns neither which paths there are nor which methods they have.
    let asked = Asked::read(app, request).await?;
    let Some(operation) = operation else { return Err(Refused::NoPath) };
    if !matches!(method, Method::GET | Method::POST) || (operation.is_write() && method != Method::POST) {
        return Err(Refusal::new(3_900_002, format!("方法不允许: {method}")).into());
    }
    let data = match operation {
        Operation::CreateTicket => writes::create_ticket(app, &asked, request_id, user_agent).await,
        Operation::OperateNode => writes::operate_node(app, &asked, request_id).await,
        Operation::OperateTicket => writes::operate_ticket(app, &asked, request_id).await,
        Operation::GetServices => reads::services(app, &asked).await,
        Operation::GetServiceCatalogs => reads::catalogs(app, &asked).await,
        Operation::GetServiceDetail => reads::service_detail(app, &asked).await,
        Operation::GetTickets => lists::tickets(app, &asked).await,
        Operation::GetTicketInfo => reads::ticket_info(app, &asked).await,
        Operation::GetTicketStatus => reads::ticket_status(app, &asked).await,
        Operation::GetTicketLogs => logs::ticket_logs(app, &asked).await,
        Operation::TokenVerify => reads::token_verify(app, &asked).await,
        Operation::TicketApprovalResult => reads::approval_results(app, &asked, request_id).await,
        Operation::CallbackFailedTicket => reads::failed_callbacks(app, &asked).await,
        Operation::PluginServices => reads::plugin_services(app).await,
        Operation::PluginFields => reads::plugin_fields(app, &asked).await,
        Operation::GetServiceRoles => backoffice::service_roles(app, &asked).await,
        Operation::GetWorkflowDetail => backoffice::workflow_detail(app, &asked).await,
        Operation::GetTicketsByUser => lists::tickets_by_user(app, &asked).await,
        Operation::GetApprover => approvals::approver(app, &asked).await,
        Operation::GetApproveNodeResult => approvals::node_result(app, &asked).await,
        Operation::GetFastApprovalSummary => approvals::summary(app, &asked).await,
        Operation::Approve => approvals::approve(app, &asked, request_id).await,
        Operation::ProceedApproval => approvals::proceed_approval(app, &asked, request_id).await,
        Operation::ProceedFastApproval => return Ok(approvals::proceed_fast_approval(app, &asked, request_id).await?),
        Operation::Comment => beside::comment(app, &asked, request_id).await,
        Operation::AddFollower => beside::add_follower(app, &asked, request_id).await,
        Operation::EditField => beside::edit_field(app, &asked, request_id).await,
        Operation::CreateServiceCatalog => backoffice::create_catalog(app, &asked, request_id).await,
        Operation::ImportService => backoffice::import_service(app, &asked, request_id, false).await,
        Operation::UpdateService => backoffice::import_service(app, &asked, request_id, true).await,
    };
    Ok(data?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_variant_means_the_same() {
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
        assert_eq!(operation("/v2/itsm/token/verify/"), Some(Operation::TokenVerify));
        assert_eq!(operation("/openapi/service/get_services/"), Some(Operation::GetServices));
        assert_eq!(operation("/prod/v2/devops_plugin/services/"), Some(Operation::PluginServices));
        assert_eq!(operation("/openapi/devops_plugin/fields/"), Some(Operation::PluginFields));
        assert_eq!(operation("/api/c/compapi/v2/cmdb/create_ticket/"), None);
        assert_eq!(operation("/"), None);
    }
}
