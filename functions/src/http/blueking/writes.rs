//! What BlueKing clients change: parse, name the command, let the ledger decide.

use std::collections::{BTreeMap, BTreeSet};

use domain::numbers::sn_of_id;
use domain::ticket::form::plain;
use domain::ticket::{Command, Open};
use domain::user_name::split;
use domain::views::ticket_card::TicketCard;
use events::ticket::{Callback, DynamicField, Opened};
use events::workflow::Processors;
use events::{Entry, Meta, NodeId, Personal, Pid, RoleId, ServiceId, TicketSn};
use infra::Failure;
use infra::ledger::command_id;
use serde_json::{Value, json};

use super::answer::{Refusal, not_done, not_opened};
use super::render;
use super::request::{Asked, check_name};
use crate::desk::{self, Key, NotRaised, TAG_MAX};
use crate::http::extras::{self, Unfit, UnfitReceiver};
use crate::people::{NAMED_MAX, Unnamed, names_of};
use crate::queue::attempt::callback::Receiver;
use crate::{App, company};

pub(super) async fn create_ticket(app: &App, asked: &Asked, request_id: &str, user_agent: Option<String>) -> Result<Value, Refusal> {
    let service = match asked.text("fast_approval").as_deref() {
        Some("true" | "True") => Some(company::FAST_APPROVAL),
        _ => asked.text("service_id").and_then(|text| text.parse().ok()).map(ServiceId),
    };
    let service = service.ok_or_else(|| Refusal::parameter("服务:服务不存在，请联系管理员！"))?;
    let creator = match asked.get("creator") {
        Some(_) => asked.required("creator")?,
        None if asked.is_null("creator") => asked.required("creator")?,
        None => asked.caller.user.clone().ok_or_else(|| Refusal::parameter("creator:该字段是必填项。"))?,
    };
    check_name("creator", &creator)?;
    let fields = asked.fields()?.unwrap_or_default();
    let meta = asked.get("meta").cloned().unwrap_or_default();
    if !meta.is_null() && !meta.is_object() {
        return Err(Refusal::parameter("meta:期望为一个字典。"));
    }
    // Whoever submits for somebody else is the one who asks.
    match meta.get("ticket_agent").and_then(Value::as_str).filter(|agent| !agent.is_empty()) {
        Some(agent) => asked.speaks_as("meta.ticket_agent", agent)?,
        None => asked.speaks_as("creator", &creator)?,
    }
    let extras = Extras::read(asked, &meta)?;
    let key = match asked.idempotency_key.clone() {
        Some(key) => Some(Key { app: asked.caller.app.0.clone(), key, request: asked.fingerprint(app).await? }),
        None => None,
    };
    // A key that became a ticket is answered from it, whatever became of the service since.
    if let Some(key) = &key {
        match desk::opened_before(app, key).await {
            Ok(Some(opened)) => return Ok(created(app, &opened)),
            Ok(None) => {}
            Err(reason) => return Err(not_opened(app, reason).await),
        }
    }
    // First everything is checked without storing anything, not even who the people are.
    let draft = draft(app, service, &creator, &fields, &meta, &extras).await?;
    if let Err(failure) = desk::consider(app, &draft).await {
        return Err(not_opened(app, failure.into()).await);
    }
    if !fields.iter().any(|entry| entry.key == "title") {
        return Err(Refusal::missing_key("title"));
    }
    if let Some(from) = &extras.from {
        let by = meta.get("ticket_agent").and_then(Value::as_str).filter(|agent| !agent.is_empty()).unwrap_or(&creator);
        desk::may_raise(app, from, &app.people.find(by).await?).await.map_err(|not| not_raised(not, by))?;
    }
    // Everything is accepted: now people are registered, and the receiver is kept.
    let mut open = desk::with_people(app, draft).await?;
    let envs: BTreeMap<String, String> =
        meta.get("envs").and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.clone(), plain(value))).collect();
    open.variables = extras::keep_variables(app, &open.creator, &envs).await?;
    if let (Some(callback), Some(receiver)) = (&mut open.callback, receiver(&meta)?) {
        extras::keep_receiver(app, callback, &receiver).await?;
    }
    let made_by = Meta {
        user_agent: user_agent.map(|text| Personal::new(open.creator.clone(), text.chars().take(200).collect::<String>().into())),
        ..asked.caller.meta(request_id, open.creator.clone())
    };
    match desk::open(app, open, &made_by, key).await {
        Err(reason) => Err(not_opened(app, reason).await),
        Ok(outcome) => {
            let opened = outcome.state.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
            desk::await_card(app, outcome.position).await;
            Ok(created(app, opened))
        }
    }
}

fn created(app: &App, opened: &Opened) -> Value {
    json!({ "sn": opened.sn, "id": opened.id, "ticket_url": render::ticket_url(&app.settings, opened.id) })
}

/// Why a ticket is not raised from another one, in the words of clients.
fn not_raised(not: NotRaised, creator: &str) -> Refusal {
    match not {
        NotRaised::Unknown => Refusal::no_ticket(),
        NotRaised::Over => Refusal::parameter("from_ticket_id:抱歉，源单据已结束，无法创建关联单"),
        NotRaised::Stranger => Refusal::parameter(format!("from_ticket_id:抱歉，{creator}无权操作源单据")),
        NotRaised::Technical(error) => error.into(),
    }
}

/// The receiver of callbacks, with its headers.
fn receiver(meta: &Value) -> Result<Option<Receiver>, Refusal> {
    let url = match meta.get("callback_url") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(url)) => url.trim(),
        // Some clients send what is empty as they please; anything else would be a callback that never comes.
        Some(Value::Array(empty)) if empty.is_empty() => return Ok(None),
        Some(Value::Object(empty)) if empty.is_empty() => return Ok(None),
        Some(_) => return Err(unfit_receiver(UnfitReceiver::Address)),
    };
    if url.is_empty() {
        return Ok(None);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let headers = match meta.get("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(headers)) => headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        // Some clients send what is empty as they please.
        Some(Value::String(empty)) if empty.is_empty() => Vec::new(),
        Some(Value::Array(empty)) if empty.is_empty() => Vec::new(),
        Some(_) => return Err(Refusal::parameter("meta:headers 期望为一个字典。")),
    };
    Ok(Some(Receiver { url: url.to_owned(), headers }))
}

/// The flaw of a receiver, in the words of clients.
fn unfit_receiver(unfit: UnfitReceiver) -> Refusal {
    Refusal::parameter(match unfit {
        UnfitReceiver::Address => "meta:callback_url 不是合法的 http(s) 地址。".to_owned(),
        UnfitReceiver::Closed(host) => format!("meta:callback_url 的地址 {host} 不允许访问，请联系管理员（--egress）。"),
        UnfitReceiver::TooManyHeaders(most) => format!("meta:headers 请确保不超过 {most} 项。"),
        UnfitReceiver::HeadersTooLong(most) => format!("meta:headers 请确保总长度不超过 {most} 字节。"),
        UnfitReceiver::HeaderName(name) => format!("meta:headers “{name}” 不是合法的请求头名称。"),
        UnfitReceiver::HeaderReserved(name) => format!("meta:headers 请求头 {name} 由系统设置，不能指定。"),
        UnfitReceiver::HeaderValue(name) => format!("meta:headers 请求头 {name} 的值含有换行或控制字符，或者过长。"),
    })
}

async fn draft(app: &App, service: ServiceId, creator: &str, fields: &[Entry], meta: &Value, wish: &Extras) -> Result<Open, Refusal> {
    let agent = meta.get("ticket_agent").and_then(Value::as_str).filter(|agent| !agent.is_empty());
    let mut named = 1 + usize::from(agent.is_some());
    let mut processors = Vec::new();
    for (node, names) in meta.get("state_processors").and_then(Value::as_object).into_iter().flatten() {
        let id = node.parse().map_err(|_| Refusal::parameter(format!("state_processors:节点({node})不存在")))?;
        let names = names_of(names, NAMED_MAX)?;
        named += names.len();
        if named > NAMED_MAX {
            return Err(Unnamed::TooMany(NAMED_MAX).into());
        }
        processors.push((NodeId(id), names));
    }
    let mut form = fields.to_vec();
    if let Some(defined) = app.configuration.service(service).await?.0.as_ref()
        && let Some(workflow) = app.configuration.workflow(defined.workflow, defined.workflow_version).await?
    {
        app.people.form_in(&workflow.definition, &mut form, named).await?;
    }
    let host = receiver(meta)?.map(|receiver| extras::callback_host(app, &receiver).map_err(unfit_receiver)).transpose()?;
    let mut chosen_processors = BTreeMap::new();
    for (node, names) in processors {
        chosen_processors.insert(node, app.people.find_all(&names).await?);
    }
    let agent = match agent {
        Some(agent) => Some(app.people.find(agent).await?),
        None => None,
    };
    Ok(Open {
        service,
        creator: app.people.find(creator).await?,
        form,
        tag: wish.tag.clone(),
        callback: host.map(|host| Callback { host, secret: String::new(), on_status: wish.hears_status }),
        chosen_processors,
        agent,
        dynamic_fields: wish.dynamic_fields.clone(),
        names: wish.names.clone(),
        notify_config: meta.get("notify_config").cloned().unwrap_or_default(),
        from: wish.from.clone(),
        attention: wish.attention,
        ..Open::default()
    })
}

/// What a request asks for besides form and `meta`.
#[derive(Clone, Debug, Default)]
struct Extras {
    tag: String,
    dynamic_fields: Vec<DynamicField>,
    names: BTreeMap<String, BTreeMap<String, String>>,
    from: Option<TicketSn>,
    attention: bool,
    hears_status: bool,
}

impl Extras {
    fn read(asked: &Asked, meta: &Value) -> Result<Self, Refusal> {
        let tag = asked.text("tag").unwrap_or_default();
        if tag.chars().count() > TAG_MAX {
            return Err(Refusal::parameter(format!("tag:请确保这个字段不能超过 {TAG_MAX} 个字符。")));
        }
        let from = match asked.text("from_ticket_id").filter(|id| !id.is_empty() && id != "0") {
            Some(id) => Some(id.parse().ok().and_then(sn_of_id).ok_or_else(Refusal::no_ticket)?),
            None => None,
        };
        let mut names = BTreeMap::new();
        for field in asked.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let languages = field.pointer("/meta/language").and_then(Value::as_object);
            if let (Some(key), Some(languages)) = (field["key"].as_str(), languages) {
                names.insert(key.to_owned(), languages.iter().map(|(language, name)| (language.clone(), plain(name))).collect());
            }
        }
        let hears_status = asked.caller.hears_status || meta.pointer("/notify_config/enable_status_callback") == Some(&Value::Bool(true));
        let attention = matches!(asked.text("attention").as_deref(), Some("true" | "True" | "1"));
        Ok(Self { tag, dynamic_fields: dynamic_fields(asked)?, names, from, attention, hears_status })
    }
}

/// Display-only fields (3.1).
fn dynamic_fields(asked: &Asked) -> Result<Vec<DynamicField>, Refusal> {
    let items = match asked.get("dynamic_fields") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Refusal::parameter("dynamic_fields:期望为一个列表，得到的类型不对。")),
    };
    extras::dynamic_fields(items).map_err(|unfit| {
        Refusal::parameter(match unfit {
            Unfit::TooMany(most) => format!("dynamic_fields:请确保这个列表不超过 {most} 项。"),
            Unfit::Name(at) => format!("dynamic_fields:{at}:name:请确保这个字段为 1 到 32 个字符。"),
            Unfit::Kind(at, kind) => format!("dynamic_fields:{at}:type:“{kind}” 不是合法选项。"),
            Unfit::Value(at) => format!("dynamic_fields:{at}:value:请确保这个字段不能超过 255 个字符。"),
            Unfit::Link(at) => format!("dynamic_fields:{at}:value:不是可以打开的链接。"),
        })
    })
}

pub(super) async fn operate_node(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let sn = TicketSn(asked.required("sn")?);
    let operator = asked.actor("operator")?;
    let node = NodeId(asked.required_int("state_id")?);
    let action = asked.required("action_type")?;
    if is_done(app, asked, &sn).await? {
        return Ok(json!([]));
    }
    // The ticket and the node are looked at before the parameters of the action (3.9).
    let card = desk::card(app, &sn).await?.ok_or_else(Refusal::no_ticket)?;
    if let Err(domain::Refusal::Rejected(rejection)) = card.ticket.check_node(node) {
        return Err(not_done(app, Failure::Rejected(rejection)).await);
    }
    let message = asked.words("action_message")?;
    if action == "SUSPEND" && message.is_empty() {
        return Err(Refusal::missing_key("action_message"));
    }
    let by = app.people.find(&operator).await?;
    let actor = by.clone();
    let command = match action.as_str() {
        "TRANSITION" => Command::Submit { node, form: submitted(app, asked, &card, node).await?, reason: message, by },
        "CLAIM" => Command::Claim { node, reason: message, by },
        "DISTRIBUTE" => Command::Distribute { node, to: targets(app, asked).await?, message, by },
        "DELIVER" => Command::Deliver { node, to: targets(app, asked).await?, message, by },
        "TERMINATE" => Command::TerminateAt { node, reason: message, by },
        // Older documents list these among a node's operations too.
        "SUSPEND" => Command::Suspend { reason: message, by },
        "UNSUSPEND" => Command::Resume { reason: message, by },
        other => return Err(Refusal::parameter(format!("action_type:“{other}” 不是合法选项。"))),
    };
    act(app, asked, request_id, &sn, actor, &command).await
}

/// The form of a TRANSITION: scalars only, unlike at submitting (3.9).
async fn submitted(app: &App, asked: &Asked, card: &TicketCard, node: NodeId) -> Result<Vec<Entry>, Refusal> {
    for (at, item) in asked.get("fields").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(missing) = ["key", "value"].into_iter().find(|member| item.get(member).is_none()) {
            return Err(Refusal::parameter(format!("fields:{at}:{missing}:该字段是必填项。")));
        }
    }
    let mut form = asked.fields()?.ok_or_else(|| Refusal::parameter("fields:该字段是必填项。"))?;
    if let Some(wrong) = form.iter().find(|entry| !(entry.value.is_string() || entry.value.is_number())) {
        return Err(Refusal::parameter(format!("fields:value:Not a valid string. ({})", wrong.key)));
    }
    let workflow = super::reads::workflow_of(app, card).await?;
    if let Some(node) = workflow.definition.node(node) {
        // Clients send whole forms back: what stands at no field of this node is passed over, and of what comes twice the last counts, as in the original.
        form.retain(|entry| node.fields.contains(&entry.key));
        let mut seen = BTreeSet::new();
        form = form.into_iter().rev().filter(|entry| seen.insert(entry.key.clone())).collect();
        form.reverse();
    }
    app.people.form_in(&workflow.definition, &mut form, 0).await?;
    if let Some(node) = workflow.definition.node(node) {
        app.configuration.offers.ask_ahead(&workflow.definition, node, &form, &card.ticket).await?;
    }
    Ok(form)
}

async fn targets(app: &App, asked: &Asked) -> Result<Processors, Refusal> {
    let kind = asked.required("processors_type")?;
    let names = if kind == "STARTER" { String::new() } else { asked.required("processors")? };
    if names.chars().count() > 255 {
        return Err(Refusal::parameter("processors:请确保这个字段不能超过 255 个字符。"));
    }
    match kind.as_str() {
        "STARTER" => Ok(Processors::Starter),
        "PERSON" => Ok(Processors::Person(app.people.find_all(&names_of(&names.into(), NAMED_MAX)?).await?)),
        "ORGANIZATION" => Ok(Processors::Organization(names)),
        "GENERAL" => {
            let ids: Result<Vec<i64>, _> = split(&names).map(str::parse).collect();
            let ids = ids.map_err(|_| Refusal::parameter("参数验证失败: 当前分配的用户组可能不存在"))?;
            Ok(Processors::General(ids.into_iter().map(RoleId).collect()))
        }
        other => Err(Refusal::parameter(format!("processors_type:“{other}” 不是合法选项。"))),
    }
}

pub(super) async fn operate_ticket(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let sn = TicketSn(asked.required("sn")?);
    let operator = match asked.get("operator") {
        None if asked.get("username").is_some() => asked.actor("username")?,
        _ => asked.actor("operator")?,
    };
    let action = asked.required("action_type")?;
    let by = app.people.find(&operator).await?;
    let required = || match asked.get("action_message") {
        None => Err(Refusal::missing_key("action_message")),
        Some(_) => asked.required("action_message"),
    };
    let reason = || asked.words("action_message");
    let command = match action.as_str() {
        "SUSPEND" => Command::Suspend { reason: required()?, by: by.clone() },
        "UNSUSPEND" => Command::Resume { reason: reason()?, by: by.clone() },
        "WITHDRAW" => Command::Withdraw { reason: reason()?, by: by.clone() },
        "TERMINATE" => Command::Terminate { reason: required()?, by: by.clone() },
        other => return Err(Refusal::new(3_900_004, format!("单据操作失败，不支持的操作类型: {other}"))),
    };
    act(app, asked, request_id, &sn, by, &command).await
}

/// The id under which a request is carried out: with an idempotency key the same request is one command; without, every request is its own.
async fn wish_id(app: &App, asked: &Asked) -> Result<[u8; 16], infra::Error> {
    Ok(match &asked.idempotency_key {
        Some(key) => command_id(&["operate", asked.caller.app.as_str(), key, &asked.fingerprint(app).await?]),
        None => app.ledger.fresh_id(),
    })
}

/// Says whether this very request was carried out before.
pub(super) async fn is_done(app: &App, asked: &Asked, sn: &TicketSn) -> Result<bool, infra::Error> {
    Ok(asked.idempotency_key.is_some() && desk::is_done(app, sn, &wish_id(app, asked).await?).await?)
}

/// Carries out an operation.
pub(super) async fn act(app: &App, asked: &Asked, request_id: &str, sn: &TicketSn, by: Pid, command: &Command) -> Result<Value, Refusal> {
    let id = wish_id(app, asked).await?;
    match desk::act(app, sn, command, &asked.caller.meta(request_id, by), id).await {
        Err(failure) => Err(not_done(app, failure).await),
        Ok(outcome) => {
            desk::await_card(app, outcome.position).await;
            Ok(json!([]))
        }
    }
}
