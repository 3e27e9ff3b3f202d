//! What the desk is set up with, as BlueKing clients read and change it (reference/bk-itsm.md 3.11, 12).

use std::collections::BTreeSet;

use domain::ticket::{Facts, Lookup};
use domain::workflow::export;
use events::workflow::{Handling, NodeKind, Processors};
use events::{CatalogId, Meta, Pid, ServiceId};
use infra::Error;
use infra::ledger::Lookups as _;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::reads::level;
use super::render;
use super::request::Asked;
use crate::people::NAMED_MAX;
use crate::setup::{self, NotSetUp, ServiceWish};
use crate::{App, company};

pub(super) async fn workflow_detail(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let missing = || Refusal::new(3_900_404, "查找对象不存在");
    let text = asked.text("workflow_id").filter(|text| !text.is_empty()).ok_or_else(missing)?;
    let flow_id: i64 = text.parse().map_err(|_| Refusal::new(3_900_004, format!("接口异常，请检查请求参数: workflow_id {text}")))?;
    let (workflow, version) = render::version_of(flow_id);
    let deployed = app.configuration.workflow(workflow, version).await?.ok_or_else(missing)?;
    let mut definition = deployed.definition.clone();
    company::with_names(app, &mut definition).await?;
    let written = export::write(&definition, &deployed.version.to_string(), &setup::role_names(app).await?);
    let flow = &written[0];
    let values = |key: &str| flow[key].as_object().map(|all| all.values().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let by_id = |mut items: Vec<Value>| {
        items.sort_by_key(|item| item["id"].as_i64());
        items
    };
    Ok(json!({
        "name": flow["name"], "flow_type": flow["flow_type"], "desc": flow["desc"], "version_number": flow["version_number"],
        "states": by_id(values("states")), "transitions": by_id(values("transitions")), "fields": by_id(values("fields")),
    }))
}

/// The nodes after the submit node at which somebody acts, in the order of the lines: who could be named for them (`state_processors`).
pub(super) async fn service_roles(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let missing = || Refusal::new(3_900_042, "服务未找到");
    let id = asked.required_int("service_id")?;
    let service = app.configuration.listed_service(ServiceId(id)).await?.ok_or_else(missing)?;
    let deployed = app.configuration.workflow(service.workflow, service.workflow_version).await?.ok_or_else(missing)?;
    let definition = &deployed.definition;
    let submit = definition.submit_node().ok_or_else(missing)?.id;
    let (mut order, mut next) = (vec![submit], 0);
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for line in definition.lines_from(node) {
            if !order.contains(&line.to) {
                order.push(line.to);
            }
        }
    }
    let mut roles = Vec::new();
    for node in order.iter().skip(1).filter_map(|id| definition.node(*id)) {
        if !node.kind.is_for_people() && !node.kind.is_automatic() {
            continue;
        }
        let distributed = matches!(node.handling, Handling::DistributeThenClaim | Handling::DistributeThenProcess) && node.kind == NodeKind::Manual;
        let processors = if distributed { &node.assignors } else { &node.processors };
        let names = match processors {
            Processors::Person(people) => app.people.names(people).await?,
            Processors::Starter => asked.text("ticket_creator").unwrap_or_default(),
            Processors::StarterLeader => match asked.text("ticket_creator") {
                Some(creator) => app.directory.leader(&creator).await?.unwrap_or_default(),
                None => String::new(),
            },
            Processors::General(_) | Processors::Organization(_) => app.people.names(&members(app, processors).await?).await?,
            other => export::who(other).trim_matches(',').to_owned(),
        };
        roles.push(json!({
            "id": node.id, "name": node.name, "processors": names, "processors_type": processors.kind(),
            "sign_type": if node.is_multi || node.kind == NodeKind::Sign { "and" } else { "or" },
        }));
    }
    Ok(roles.into())
}

/// Who is meant by roles or a department, as it is now.
async fn members(app: &App, processors: &Processors) -> Result<Vec<Pid>, Error> {
    let mut facts = Facts::default();
    let wanted: Vec<Lookup> = match processors {
        Processors::General(roles) if roles.is_empty() => {
            app.configuration.load(&[Lookup::GeneralRoles], &mut facts).await?;
            facts.general_roles.iter().flatten().copied().map(Lookup::Role).collect()
        }
        Processors::General(roles) => roles.iter().copied().map(Lookup::Role).collect(),
        Processors::Organization(key) => vec![Lookup::Department(key.clone())],
        _ => Vec::new(),
    };
    app.configuration.load(&wanted, &mut facts).await?;
    let mut seen = BTreeSet::new();
    let people = facts.roles.values().chain(facts.departments.values()).flatten();
    Ok(people.filter(|pid| seen.insert((*pid).clone())).cloned().collect())
}

/// Who changes the configuration: the user who is named, else the application by itself, as which the desk acts.
async fn administrator(app: &App, asked: &Asked, request_id: &str) -> Result<Meta, Refusal> {
    asked.administers(app).await?;
    let actor = match &asked.caller.user {
        Some(user) => app.people.find(user).await?,
        None => Pid::system(),
    };
    Ok(asked.caller.meta(request_id, actor))
}

pub(super) async fn create_catalog(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let by = administrator(app, asked, request_id).await?;
    let _turn = setup::turn().await;
    let parent = CatalogId(asked.required_int("parent__id").or_else(|refusal| match asked.text("parent_id") {
        Some(_) => asked.required_int("parent_id"),
        None => Err(refusal),
    })?);
    let name = asked.required("name")?;
    let desc = asked.text("desc").unwrap_or_default();
    let added = setup::add_catalog(app, &by, parent, &name, &desc).await.map_err(refused)?;
    let catalog = app.configuration.catalog().await?;
    let above = catalog.shelves.get(&parent);
    let (key, title) = (above.map(|shelf| shelf.key.clone()), above.map(|shelf| shelf.name.clone()));
    Ok(json!({
        "id": added.id, "key": added.key, "name": added.name, "desc": added.desc, "level": level(&catalog, added.id), "children": [], "project_key": "0",
        "parent": parent, "parent__id": parent, "parent_key": key, "parent_name": title, "parent__name": title,
    }))
}

/// `import_service`, and `update_service` where `id` names one that is there: the workflow becomes a new version, and the service points at it.
pub(super) async fn import_service(app: &App, asked: &Asked, request_id: &str, update: bool) -> Result<Value, Refusal> {
    let by = administrator(app, asked, request_id).await?;
    let _turn = setup::turn().await;
    let id = if update { Some(ServiceId(asked.required_int("id")?)) } else { None };
    let texts = |key: &str| asked.list(key);
    let wish = ServiceWish {
        id,
        name: asked.required("name")?,
        kind: asked.required("key")?,
        desc: asked.text("desc").unwrap_or_default(),
        is_enabled: asked.text("is_valid").is_none_or(|flag| !matches!(flag.as_str(), "false" | "False" | "0")),
        display_type: asked.text("display_type").filter(|kind| !kind.is_empty()).unwrap_or_else(|| "OPEN".into()),
        display_roles: texts("display_role")?,
        owners: asked.names("owners", NAMED_MAX)?,
        catalog: asked.text("catalog_id").filter(|id| !id.is_empty()).and_then(|id| id.parse().ok()).map(CatalogId),
        can_ticket_agency: matches!(asked.text("can_ticket_agency").as_deref(), Some("true" | "True" | "1")),
        may_name_secrets: match &asked.caller.user {
            Some(user) => app.configuration.is_superuser(&app.people.find(user).await?).await?,
            None => false,
        },
        workflow: asked.get("workflow").cloned().ok_or_else(|| Refusal::parameter("workflow:该字段是必填项。"))?,
    };
    let (service, report) = setup::import_service(app, &by, wish).await.map_err(refused)?;
    let flow = render::flow_id(service.workflow, service.workflow_version);
    Ok(json!({
        "id": service.service, "name": service.name, "key": service.kind.key(), "service_type": service.kind.key(), "desc": service.desc,
        "workflow_id": flow, "is_valid": service.is_enabled, "display_type": service.display_type, "report": report,
    }))
}

/// A wish about the desk itself that was not granted, in the codes of the wire.
fn refused(not: NotSetUp) -> Refusal {
    match not {
        NotSetUp::Technical(error) => error.into(),
        NotSetUp::SecretNamed(name) => Refusal::new(3_900_015, format!("权限不足: 只有超级管理员可以在流程中引用密钥: {name}")),
        NotSetUp::NameTaken(name) => Refusal::new(3_900_035, format!("创建服务失败: 服务名称已经存在: {name}")),
        NotSetUp::KindUnknown(kind) => Refusal::new(3_900_038, format!("相关类型未找到: {kind}")),
        NotSetUp::ServiceUnknown(id) => Refusal::new(3_900_042, format!("服务未找到: {id}")),
        NotSetUp::Unreadable(reason) => Refusal::new(3_900_011, format!("流程保存失败: {reason}")),
        NotSetUp::Unsound(reasons) => Refusal::new(3_900_011, format!("流程保存失败: {}", reasons.join("; "))),
        NotSetUp::InUse { what, by } => Refusal::new(3_900_037, format!("占用中: {what} ({by})")),
        NotSetUp::Catalog(rejection) => Refusal::new(3_900_008, format!("服务目录: {}", catalog_words(&rejection))),
        NotSetUp::Workflow(rejection) => Refusal::new(3_900_011, format!("流程保存失败: {rejection}")),
    }
}

fn catalog_words(rejection: &domain::config::Rejection) -> String {
    use domain::config::Rejection;
    match rejection {
        Rejection::CatalogUnknown(id) => format!("目录 {id} 不存在"),
        Rejection::NameTaken(name) => format!("同级目录【{name}】已存在"),
        Rejection::HoldsCatalogs(name) => format!("请先删除【{name}】下的子目录"),
        Rejection::HoldsServices(name) => format!("目录【{name}】占用中"),
        Rejection::NameUnfit => "名称为空或超过 64 个字符".into(),
        Rejection::BelowItself => "目录不能移动到自身之下".into(),
        Rejection::Root => "根目录不能修改".into(),
        Rejection::CatalogExists(id) => format!("目录 {id} 已存在"),
    }
}
