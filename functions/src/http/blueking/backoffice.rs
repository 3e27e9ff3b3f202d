//! Implements the BlueKing operations that read and change the configuration (reference/bk-itsm.md
//! 3.11, 12).

use std::collections::BTreeSet;

use domain::permission::{Operation, Relations};
use domain::ticket::{Context, Lookup};
use domain::workflow::export;
use events::workflow::{Handling, NodeKind, Processors};
use events::{CategoryId, Meta, PersonId, ServiceId};
use infra::Error;
use infra::ledger::ContextLoader as _;
use serde_json::{Value, json};

use super::answer::WireError;
use super::reads::level;
use super::render;
use super::request::Asked;
use crate::App;
use crate::app::administration::{self, AdministrationError, ServiceImport};
use crate::app::people::NAMED_MAX;
use crate::app::permissions;
use crate::app::seed;

pub(super) async fn workflow_detail(app: &App, request: &Asked) -> Result<Value, WireError> {
    let missing = || WireError::new(3_900_404, "查找对象不存在");
    let text = request
        .text("workflow_id")
        .filter(|text| !text.is_empty())
        .ok_or_else(missing)?;
    let flow_id: i64 = text.parse().map_err(|_| {
        WireError::new(
            3_900_004,
            format!("接口异常，请检查请求参数: workflow_id {text}"),
        )
    })?;
    let (workflow, version) = render::version_of(flow_id);
    let deployed = app
        .configuration
        .workflow(workflow, version)
        .await?
        .ok_or_else(missing)?;
    let mut definition = deployed.definition.clone();
    seed::with_names(app, &mut definition).await?;
    let written = export::write(
        &definition,
        &deployed.version.to_string(),
        &administration::role_names(app).await?,
    );
    let flow = &written[0];
    let values = |key: &str| {
        flow[key]
            .as_object()
            .map(|all| all.values().cloned().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    let by_id = |mut items: Vec<Value>| {
        items.sort_by_key(|item| item["id"].as_i64());
        items
    };
    Ok(json!({
        "name": flow["name"], "flow_type": flow["flow_type"], "desc": flow["desc"], "version_number": flow["version_number"],
        "states": by_id(values("states")), "transitions": by_id(values("transitions")), "fields": by_id(values("fields")),
    }))
}

/// Returns the nodes for people and the automatic nodes that follow the submit node (the first
/// node) of a workflow. The nodes are in the order of the transitions. Each node contains the
/// people who process or assign the node. A client can choose other people in the parameter
/// `state_processors` of a new ticket.
pub(super) async fn service_roles(app: &App, request: &Asked) -> Result<Value, WireError> {
    let missing = || WireError::new(3_900_042, "服务未找到");
    let id = request.required_int("service_id")?;
    let service = app
        .configuration
        .listed_service(ServiceId(id))
        .await?
        .ok_or_else(missing)?;
    let deployed = app
        .configuration
        .workflow(service.workflow, service.workflow_version)
        .await?
        .ok_or_else(missing)?;
    let definition = &deployed.definition;
    let submit = definition.submit_node().ok_or_else(missing)?.id;
    let (mut order, mut next) = (vec![submit], 0);
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for transition in definition.transitions_from(node) {
            if !order.contains(&transition.to) {
                order.push(transition.to);
            }
        }
    }
    let mut roles = Vec::new();
    for node in order.iter().skip(1).filter_map(|id| definition.node(*id)) {
        if !node.kind.is_for_people() && !node.kind.is_automatic() {
            continue;
        }
        let distributed = matches!(
            node.handling,
            Handling::DistributeThenClaim | Handling::DistributeThenProcess
        ) && node.kind == NodeKind::Manual;
        let processors = if distributed {
            &node.assignors
        } else {
            &node.processors
        };
        let names = match processors {
            Processors::Person(people) => app.people.names(people).await?,
            Processors::Starter => request.text("ticket_creator").unwrap_or_default(),
            Processors::StarterLeader => match request.text("ticket_creator") {
                Some(creator) if !request.caller.may_act_as(&creator) => String::new(),
                Some(creator) => app.directory.leader(&creator).await?.unwrap_or_default(),
                None => String::new(),
            },
            Processors::General(_) | Processors::Organization(_) => {
                let members = members(app, processors).await?;
                if may_read(app, request, &members).await? {
                    app.people.names(&members).await?
                } else {
                    String::new()
                }
            }
            other => export::who(other).trim_matches(',').to_owned(),
        };
        roles.push(json!({
            "id": node.id, "name": node.name, "processors": names, "processors_type": processors.kind(),
            "sign_type": if node.is_multi || node.kind == NodeKind::Sign { "and" } else { "or" },
        }));
    }
    Ok(roles.into())
}

/// Returns true if the caller may read the members of a role or of a department. An app that the desk trusts to act
/// for every user may always read them.
async fn may_read(app: &App, request: &Asked, members: &[PersonId]) -> Result<bool, Error> {
    match &request.caller.user {
        _ if request.caller.may_impersonate => Ok(true),
        Some(user) => {
            let person = app.people.find(user).await?;
            permissions::may_read_role(app, &person, members).await
        }
        None => Ok(false),
    }
}

/// Returns the people who currently belong to the roles or to the department in `processors`. These
/// people process a node of a workflow.
async fn members(app: &App, processors: &Processors) -> Result<Vec<PersonId>, Error> {
    let mut context = Context::default();
    let lookups: Vec<Lookup> = match processors {
        Processors::General(roles) if roles.is_empty() => {
            app.configuration
                .load(&[Lookup::GeneralRoles], &mut context)
                .await?;
            context
                .general_roles
                .iter()
                .flatten()
                .copied()
                .map(Lookup::Role)
                .collect()
        }
        Processors::General(roles) => roles.iter().copied().map(Lookup::Role).collect(),
        Processors::Organization(key) => vec![Lookup::Department(key.clone())],
        _ => Vec::new(),
    };
    app.configuration.load(&lookups, &mut context).await?;
    let mut seen = BTreeSet::new();
    let people = context
        .roles
        .values()
        .chain(context.departments.values())
        .flatten();
    Ok(people
        .filter(|pid| seen.insert((*pid).clone()))
        .cloned()
        .collect())
}

/// Returns the metadata for a commit that changes the configuration. The actor in this metadata is
/// the user of the request, or the system if the request has no user. Returns an error if the
/// caller may not change the configuration.
async fn administrator(app: &App, request: &Asked, request_id: &str) -> Result<Meta, WireError> {
    request.administers(app).await?;
    let actor = match &request.caller.user {
        Some(user) => app.people.find(user).await?,
        None => PersonId::system(),
    };
    Ok(request.caller.meta(request_id, actor))
}

pub(super) async fn create_catalog(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let by = administrator(app, request, request_id).await?;
    let _turn = administration::lock_configuration().await;
    let parent = CategoryId(request.required_int("parent__id").or_else(|refusal| {
        match request.text("parent_id") {
            Some(_) => request.required_int("parent_id"),
            None => Err(refusal),
        }
    })?);
    let name = request.required("name")?;
    let desc = request.text("desc").unwrap_or_default();
    let added = administration::add_catalog(app, &by, parent, &name, &desc)
        .await
        .map_err(wire_error)?;
    let catalog = app.configuration.catalog().await?;
    let above = catalog.categories.get(&parent);
    let (key, title) = (
        above.map(|category| category.key.clone()),
        above.map(|category| category.name.clone()),
    );
    Ok(json!({
        "id": added.id, "key": added.key, "name": added.name, "desc": added.desc, "level": level(&catalog, added.id), "children": [], "project_key": "0",
        "parent": parent, "parent__id": parent, "parent_key": key, "parent_name": title, "parent__name": title,
    }))
}

/// Handles the operations `import_service` and `update_service`. The request contains a workflow.
/// The desk stores this workflow as a new version, and the service then uses the new version. For
/// `update_service`, the parameter `id` selects an existing service.
pub(super) async fn import_service(
    app: &App,
    request: &Asked,
    request_id: &str,
    update: bool,
) -> Result<Value, WireError> {
    let by = administrator(app, request, request_id).await?;
    let _turn = administration::lock_configuration().await;
    let id = if update {
        Some(ServiceId(request.required_int("id")?))
    } else {
        None
    };
    let texts = |key: &str| request.list(key);
    let import = ServiceImport {
        id,
        name: request.required("name")?,
        kind: request.required("key")?,
        desc: request.text("desc").unwrap_or_default(),
        is_enabled: request
            .text("is_valid")
            .is_none_or(|flag| !matches!(flag.as_str(), "false" | "False" | "0")),
        display_type: request
            .text("display_type")
            .filter(|kind| !kind.is_empty())
            .unwrap_or_else(|| "OPEN".into()),
        display_roles: texts("display_role")?,
        owners: request.names("owners", NAMED_MAX)?,
        catalog: request
            .text("catalog_id")
            .filter(|id| !id.is_empty())
            .and_then(|id| id.parse().ok())
            .map(CategoryId),
        can_ticket_agency: matches!(
            request.text("can_ticket_agency").as_deref(),
            Some("true" | "True" | "1")
        ),
        may_name_secrets: match &request.caller.user {
            Some(user) => {
                let person = app.people.find(user).await?;
                let operation = Operation::ChangeConfiguration;
                permissions::may(app, operation, &person, Relations::NONE).await?
            }
            None => false,
        },
        workflow: request
            .get("workflow")
            .cloned()
            .ok_or_else(|| WireError::parameter("workflow:该字段是必填项。"))?,
    };
    let (service, report) = administration::import_service(app, &by, import)
        .await
        .map_err(wire_error)?;
    let flow = render::flow_id(service.workflow, service.workflow_version);
    Ok(json!({
        "id": service.service, "name": service.name, "key": service.kind.key(), "service_type": service.kind.key(), "desc": service.desc,
        "workflow_id": flow, "is_valid": service.is_enabled, "display_type": service.display_type, "report": report,
    }))
}

/// Converts the reason why a change of the configuration failed to an error of the BlueKing API.
fn wire_error(error: AdministrationError) -> WireError {
    match error {
        AdministrationError::Technical(error) => error.into(),
        AdministrationError::SecretNamed(name) => WireError::new(
            3_900_015,
            format!("权限不足: 只有超级管理员可以在流程中引用密钥: {name}"),
        ),
        AdministrationError::NameTaken(name) => {
            WireError::new(3_900_035, format!("创建服务失败: 服务名称已经存在: {name}"))
        }
        AdministrationError::KindUnknown(kind) => {
            WireError::new(3_900_038, format!("相关类型未找到: {kind}"))
        }
        AdministrationError::ServiceUnknown(id) => {
            WireError::new(3_900_042, format!("服务未找到: {id}"))
        }
        AdministrationError::Unreadable(reason) => {
            WireError::new(3_900_011, format!("流程保存失败: {reason}"))
        }
        AdministrationError::Unsound(reasons) => {
            WireError::new(3_900_011, format!("流程保存失败: {}", reasons.join("; ")))
        }
        AdministrationError::InUse { what, by } => {
            WireError::new(3_900_037, format!("占用中: {what} ({by})"))
        }
        AdministrationError::Catalog(rejection) => WireError::new(
            3_900_008,
            format!("服务目录: {}", catalog_words(&rejection)),
        ),
        AdministrationError::Workflow(rejection) => {
            WireError::new(3_900_011, format!("流程保存失败: {rejection}"))
        }
    }
}

fn catalog_words(rejection: &domain::config::Rejection) -> String {
    use domain::config::Rejection;
    match rejection {
        Rejection::CatalogUnknown(id) => format!("目录 {id} 不存在"),
        Rejection::NameTaken(name) => format!("同级目录【{name}】已存在"),
        Rejection::ServiceNameTaken { name, .. } => format!("服务【{name}】已存在"),
        Rejection::HoldsCatalogs(name) => format!("请先删除【{name}】下的子目录"),
        Rejection::HoldsServices(name) => format!("目录【{name}】占用中"),
        Rejection::NameUnfit => "名称为空或超过 64 个字符".into(),
        Rejection::BelowItself => "目录不能移动到自身之下".into(),
        Rejection::Root => "根目录不能修改".into(),
        Rejection::CatalogExists(id) => format!("目录 {id} 已存在"),
    }
}
