//! Implements the BlueKing operations that change data. Each operation reads the request, creates a
//! command and executes the command.

use std::collections::{BTreeMap, BTreeSet};

use domain::number_sequence::sn_of_id;
use domain::ticket::{Command, Open};
use domain::user_name::split;
use domain::value::plain;
use domain::views::ticket_card::TicketCard;
use events::ticket::{CallbackTarget, DynamicField, Opened};
use events::workflow::Processors;
use events::{Entry, Meta, NodeId, PersonId, Personal, RoleId, ServiceId, TicketSn};
use infra::ExecuteError;
use infra::ledger::command_id;
use serde_json::{Value, json};

use super::answer::{WireError, not_done, not_opened};
use super::render;
use super::request::{Asked, check_name};
use crate::App;
use crate::app::outbound::Receiver;
use crate::app::people::{NAMED_MAX, Unnamed, names_of};
use crate::app::seed;
use crate::app::tickets::extras::{self, Unfit, UnfitReceiver};
use crate::app::tickets::submit::{Submission, SubmitError, submit};
use crate::app::tickets::{self, Key, NotRaised, TAG_MAX};

pub(super) async fn create_ticket(
    app: &App,
    request: &Asked,
    request_id: &str,
    user_agent: Option<String>,
) -> Result<Value, WireError> {
    let service = match request.text("fast_approval").as_deref() {
        Some("true" | "True") => Some(seed::FAST_APPROVAL),
        _ => request
            .text("service_id")
            .and_then(|text| text.parse().ok())
            .map(ServiceId),
    };
    let service = service.ok_or_else(|| WireError::parameter("服务:服务不存在，请联系管理员！"))?;
    let creator = match request.get("creator") {
        Some(_) => request.required("creator")?,
        None if request.is_null("creator") => request.required("creator")?,
        None => request
            .caller
            .user
            .clone()
            .ok_or_else(|| WireError::parameter("creator:该字段是必填项。"))?,
    };
    check_name("creator", &creator)?;
    let fields = request.fields()?.unwrap_or_default();
    let meta = request.get("meta").cloned().unwrap_or_default();
    if !meta.is_null() && !meta.is_object() {
        return Err(WireError::parameter("meta:期望为一个字典。"));
    }
    // An agent is a person who submits the ticket for the creator. The caller must be allowed to
    // act as the agent. If the request contains no agent, the caller must be allowed to act as the
    // creator.
    match meta
        .get("ticket_agent")
        .and_then(Value::as_str)
        .filter(|agent| !agent.is_empty())
    {
        Some(agent) => request.speaks_as("meta.ticket_agent", agent)?,
        None => request.speaks_as("creator", &creator)?,
    }
    let extras = Extras::read(request, &meta)?;
    let key = match request.idempotency_key.clone() {
        Some(key) => Some(Key {
            app: request.caller.app.0.clone(),
            key,
            request: request.fingerprint(app).await?,
        }),
        None => None,
    };
    // If a request with the same idempotency key already created a ticket, the response contains
    // this ticket. This is also true if the service was changed after the first request.
    if let Some(key) = &key {
        match tickets::opened_before(app, key).await {
            Ok(Some(opened)) => return Ok(created(app, &opened)),
            Ok(None) => {}
            Err(reason) => return Err(not_opened(app, reason).await),
        }
    }
    if !fields.iter().any(|entry| entry.key == "title") {
        return Err(WireError::missing_key("title"));
    }
    let open = draft(app, service, &creator, &fields, &meta, &extras).await?;
    let agent = meta
        .get("ticket_agent")
        .and_then(Value::as_str)
        .filter(|agent| !agent.is_empty());
    let variables = meta
        .get("envs")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), plain(value)))
        .collect();
    let submission = Submission {
        open,
        variables,
        receiver: receiver(&meta)?,
        key,
    };
    let commit_meta = |pid: &PersonId| Meta {
        user_agent: user_agent.map(|text| {
            let text = text.chars().take(200).collect::<String>();
            Personal::new(pid.clone(), text.into())
        }),
        ..request.caller.meta(request_id, pid.clone())
    };
    // The future is large, so it is boxed to keep the stack small.
    match Box::pin(submit(app, submission, commit_meta)).await {
        Ok(opened) => Ok(created(app, &opened)),
        Err(SubmitError::NotOpened(reason)) => Err(not_opened(app, reason).await),
        Err(SubmitError::NotRaised(reason)) => Err(not_raised(reason, agent.unwrap_or(&creator))),
    }
}

fn created(app: &App, opened: &Opened) -> Value {
    json!({ "sn": opened.sn, "id": opened.id, "ticket_url": render::ticket_url(&app.settings, opened.id) })
}

/// Returns the error of the BlueKing API for a ticket that could not be created from another
/// ticket. `reason` contains the cause.
fn not_raised(reason: NotRaised, creator: &str) -> WireError {
    match reason {
        NotRaised::Unknown => WireError::no_ticket(),
        NotRaised::Ended => {
            WireError::parameter("from_ticket_id:抱歉，源单据已结束，无法创建关联单")
        }
        NotRaised::UnknownPerson => {
            WireError::parameter(format!("from_ticket_id:抱歉，{creator}无权操作源单据"))
        }
        NotRaised::Technical(error) => error.into(),
    }
}

/// Returns the receiver of callbacks: the callback URL and the headers of the callback requests.
/// Returns `None` if the request has no callback URL.
fn receiver(meta: &Value) -> Result<Option<Receiver>, WireError> {
    let url = match meta.get("callback_url") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(url)) => url.trim(),
        // Some clients send an empty array or object if they have no callback URL. Any other value
        // that is not a text is rejected, because the desk could not send a callback.
        Some(Value::Array(empty)) if empty.is_empty() => return Ok(None),
        Some(Value::Object(empty)) if empty.is_empty() => return Ok(None),
        Some(_) => return Err(unfit_receiver(UnfitReceiver::Address)),
    };
    if url.is_empty() {
        return Ok(None);
    }
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let headers = match meta.get("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(headers)) => headers
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        // Some clients send an empty text or an empty array if the callback requests need no
        // additional headers.
        Some(Value::String(empty)) if empty.is_empty() => Vec::new(),
        Some(Value::Array(empty)) if empty.is_empty() => Vec::new(),
        Some(_) => return Err(WireError::parameter("meta:headers 期望为一个字典。")),
    };
    Ok(Some(Receiver {
        url: url.to_owned(),
        headers,
    }))
}

/// Converts the error of an invalid callback URL or callback header to an error of the BlueKing
/// API.
fn unfit_receiver(unfit: UnfitReceiver) -> WireError {
    WireError::parameter(match unfit {
        UnfitReceiver::Address => "meta:callback_url 不是合法的 http(s) 地址。".to_owned(),
        UnfitReceiver::Closed(host) => {
            format!("meta:callback_url 的地址 {host} 不允许访问，请联系管理员（--egress）。")
        }
        UnfitReceiver::TooManyHeaders(most) => format!("meta:headers 请确保不超过 {most} 项。"),
        UnfitReceiver::HeadersTooLong(most) => {
            format!("meta:headers 请确保总长度不超过 {most} 字节。")
        }
        UnfitReceiver::HeaderName(name) => format!("meta:headers “{name}” 不是合法的请求头名称。"),
        UnfitReceiver::HeaderReserved(name) => {
            format!("meta:headers 请求头 {name} 由系统设置，不能指定。")
        }
        UnfitReceiver::HeaderValue(name) => {
            format!("meta:headers 请求头 {name} 的值含有换行或控制字符，或者过长。")
        }
    })
}

async fn draft(
    app: &App,
    service: ServiceId,
    creator: &str,
    fields: &[Entry],
    meta: &Value,
    extras: &Extras,
) -> Result<Open, WireError> {
    let agent = meta
        .get("ticket_agent")
        .and_then(Value::as_str)
        .filter(|agent| !agent.is_empty());
    let mut named = 1 + usize::from(agent.is_some());
    let mut processors = Vec::new();
    for (node, names) in meta
        .get("state_processors")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let id = node
            .parse()
            .map_err(|_| WireError::parameter(format!("state_processors:节点({node})不存在")))?;
        let names = names_of(names, NAMED_MAX)?;
        named += names.len();
        if named > NAMED_MAX {
            return Err(Unnamed::TooMany(NAMED_MAX).into());
        }
        processors.push((NodeId(id), names));
    }
    let mut form = fields.to_vec();
    if let Some(defined) = app.configuration.service(service).await?.0.as_ref()
        && let Some(workflow) = app
            .configuration
            .workflow(defined.workflow, defined.workflow_version)
            .await?
    {
        app.people
            .form_in(&workflow.definition, &mut form, named)
            .await?;
    }
    let host = receiver(meta)?
        .map(|receiver| extras::callback_host(app, &receiver).map_err(unfit_receiver))
        .transpose()?;
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
        tag: extras.tag.clone(),
        callback: host.map(|host| CallbackTarget {
            host,
            secret: String::new(),
            on_status: extras.status_callbacks,
        }),
        chosen_processors,
        agent,
        dynamic_fields: extras.dynamic_fields.clone(),
        names: extras.names.clone(),
        notify_config: meta.get("notify_config").cloned().unwrap_or_default(),
        from: extras.from.clone(),
        attention: extras.attention,
        ..Open::default()
    })
}

/// The optional parts of a new ticket, without its form values.
#[derive(Clone, Debug, Default)]
struct Extras {
    tag: String,
    dynamic_fields: Vec<DynamicField>,
    names: BTreeMap<String, BTreeMap<String, String>>,
    from: Option<TicketSn>,
    attention: bool,
    status_callbacks: bool,
}

impl Extras {
    fn read(request: &Asked, meta: &Value) -> Result<Self, WireError> {
        let tag = request.text("tag").unwrap_or_default();
        if tag.chars().count() > TAG_MAX {
            return Err(WireError::parameter(format!(
                "tag:请确保这个字段不能超过 {TAG_MAX} 个字符。"
            )));
        }
        let from = match request
            .text("from_ticket_id")
            .filter(|id| !id.is_empty() && id != "0")
        {
            Some(id) => Some(
                id.parse()
                    .ok()
                    .and_then(sn_of_id)
                    .ok_or_else(WireError::no_ticket)?,
            ),
            None => None,
        };
        let mut names = BTreeMap::new();
        for field in request
            .get("fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let languages = field.pointer("/meta/language").and_then(Value::as_object);
            if let (Some(key), Some(languages)) = (field["key"].as_str(), languages) {
                names.insert(
                    key.to_owned(),
                    languages
                        .iter()
                        .map(|(language, name)| (language.clone(), plain(name)))
                        .collect(),
                );
            }
        }
        let status_callbacks = request.caller.status_callbacks
            || meta.pointer("/notify_config/enable_status_callback") == Some(&Value::Bool(true));
        let attention = matches!(
            request.text("attention").as_deref(),
            Some("true" | "True" | "1")
        );
        Ok(Self {
            tag,
            dynamic_fields: dynamic_fields(request)?,
            names,
            from,
            attention,
            status_callbacks,
        })
    }
}

/// Returns the additional fields of a ticket (reference/bk-itsm.md 3.1). Clients only display these
/// fields.
fn dynamic_fields(request: &Asked) -> Result<Vec<DynamicField>, WireError> {
    let items = match request.get("dynamic_fields") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => {
            return Err(WireError::parameter(
                "dynamic_fields:期望为一个列表，得到的类型不对。",
            ));
        }
    };
    extras::dynamic_fields(items).map_err(|unfit| {
        WireError::parameter(match unfit {
            Unfit::TooMany(most) => format!("dynamic_fields:请确保这个列表不超过 {most} 项。"),
            Unfit::Name(at) => {
                format!("dynamic_fields:{at}:name:请确保这个字段为 1 到 32 个字符。")
            }
            Unfit::Kind(at, kind) => format!("dynamic_fields:{at}:type:“{kind}” 不是合法选项。"),
            Unfit::Value(at) => {
                format!("dynamic_fields:{at}:value:请确保这个字段不能超过 255 个字符。")
            }
            Unfit::Link(at) => format!("dynamic_fields:{at}:value:不是可以打开的链接。"),
        })
    })
}

pub(super) async fn operate_node(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let sn = TicketSn(request.required("sn")?);
    let operator = request.actor("operator")?;
    let node = NodeId(request.required_int("state_id")?);
    let action = request.required("action_type")?;
    if is_done(app, request, &sn).await? {
        return Ok(json!([]));
    }
    // The ticket and the node are checked before the parameters of the action. Clients expect
    // errors in this order (reference/bk-itsm.md 3.9).
    let card = tickets::card(app, &sn)
        .await?
        .ok_or_else(WireError::no_ticket)?;
    if let Err(domain::DecideError::Rejected(rejection)) = card.ticket.check_node(node) {
        return Err(not_done(app, ExecuteError::Rejected(rejection)).await);
    }
    let message = request.words("action_message")?;
    if action == "SUSPEND" && message.is_empty() {
        return Err(WireError::missing_key("action_message"));
    }
    let by = app.people.find(&operator).await?;
    let actor = by.clone();
    let command = match action.as_str() {
        "TRANSITION" => Command::Submit {
            node,
            form: submitted(app, request, &card, node).await?,
            reason: message,
            by,
        },
        "CLAIM" => Command::Claim {
            node,
            reason: message,
            by,
        },
        "DISTRIBUTE" => Command::Assign {
            node,
            to: targets(app, request).await?,
            message,
            by,
        },
        "DELIVER" => Command::Transfer {
            node,
            to: targets(app, request).await?,
            message,
            by,
        },
        "TERMINATE" => Command::TerminateAt {
            node,
            reason: message,
            by,
        },
        // The actions SUSPEND and UNSUSPEND change the whole ticket and not a single node. They are
        // accepted here, because older documentation of BlueKing ITSM lists them as actions on
        // nodes.
        "SUSPEND" => Command::Suspend {
            reason: message,
            by,
        },
        "UNSUSPEND" => Command::Resume {
            reason: message,
            by,
        },
        other => {
            return Err(WireError::parameter(format!(
                "action_type:“{other}” 不是合法选项。"
            )));
        }
    };
    act(app, request, request_id, &sn, actor, &command).await
}

/// Returns the form values of the action TRANSITION, which submits the form of a node. Only texts
/// and numbers are allowed as values. A new ticket also accepts other values (reference/bk-itsm.md
/// 3.9).
async fn submitted(
    app: &App,
    request: &Asked,
    card: &TicketCard,
    node: NodeId,
) -> Result<Vec<Entry>, WireError> {
    for (at, item) in request
        .get("fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        if let Some(missing) = ["key", "value"]
            .into_iter()
            .find(|member| item.get(member).is_none())
        {
            return Err(WireError::parameter(format!(
                "fields:{at}:{missing}:该字段是必填项。"
            )));
        }
    }
    let mut form = request
        .fields()?
        .ok_or_else(|| WireError::parameter("fields:该字段是必填项。"))?;
    if let Some(wrong) = form
        .iter()
        .find(|entry| !(entry.value.is_string() || entry.value.is_number()))
    {
        return Err(WireError::parameter(format!(
            "fields:value:Not a valid string. ({})",
            wrong.key
        )));
    }
    let workflow = super::reads::workflow_of(app, card).await?;
    if let Some(node) = workflow.definition.node(node) {
        // Some clients send the fields of all nodes. As in BlueKing ITSM, the fields of other nodes
        // are ignored. If a field occurs twice, its last value is used.
        form.retain(|entry| node.fields.contains(&entry.key));
        let mut seen = BTreeSet::new();
        form = form
            .into_iter()
            .rev()
            .filter(|entry| seen.insert(entry.key.clone()))
            .collect();
        form.reverse();
    }
    app.people
        .form_in(&workflow.definition, &mut form, 0)
        .await?;
    if let Some(node) = workflow.definition.node(node) {
        app.configuration
            .offers
            .ask_ahead(&workflow.definition, node, &form, &card.ticket)
            .await?;
    }
    Ok(form)
}

async fn targets(app: &App, request: &Asked) -> Result<Processors, WireError> {
    let kind = request.required("processors_type")?;
    let names = if kind == "STARTER" {
        String::new()
    } else {
        request.required("processors")?
    };
    if names.chars().count() > 255 {
        return Err(WireError::parameter(
            "processors:请确保这个字段不能超过 255 个字符。",
        ));
    }
    match kind.as_str() {
        "STARTER" => Ok(Processors::Starter),
        "PERSON" => Ok(Processors::Person(
            app.people
                .find_all(&names_of(&names.into(), NAMED_MAX)?)
                .await?,
        )),
        "ORGANIZATION" => Ok(Processors::Organization(names)),
        "GENERAL" => {
            let ids: Result<Vec<i64>, _> = split(&names).map(str::parse).collect();
            let ids =
                ids.map_err(|_| WireError::parameter("参数验证失败: 当前分配的用户组可能不存在"))?;
            Ok(Processors::General(ids.into_iter().map(RoleId).collect()))
        }
        other => Err(WireError::parameter(format!(
            "processors_type:“{other}” 不是合法选项。"
        ))),
    }
}

pub(super) async fn operate_ticket(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let sn = TicketSn(request.required("sn")?);
    let operator = match request.get("operator") {
        None if request.get("username").is_some() => request.actor("username")?,
        _ => request.actor("operator")?,
    };
    let action = request.required("action_type")?;
    let by = app.people.find(&operator).await?;
    let required = || match request.get("action_message") {
        None => Err(WireError::missing_key("action_message")),
        Some(_) => request.required("action_message"),
    };
    let reason = || request.words("action_message");
    let command = match action.as_str() {
        "SUSPEND" => Command::Suspend {
            reason: required()?,
            by: by.clone(),
        },
        "UNSUSPEND" => Command::Resume {
            reason: reason()?,
            by: by.clone(),
        },
        "WITHDRAW" => Command::Withdraw {
            reason: reason()?,
            by: by.clone(),
        },
        "TERMINATE" => Command::Terminate {
            reason: required()?,
            by: by.clone(),
        },
        other => {
            return Err(WireError::new(
                3_900_004,
                format!("单据操作失败，不支持的操作类型: {other}"),
            ));
        }
    };
    act(app, request, request_id, &sn, by, &command).await
}

/// Returns the command id of a request. If a client repeats a request with the same idempotency key
/// and the same content, both requests have the same command id. A request without an idempotency
/// key gets a new id.
async fn own_command_id(app: &App, request: &Asked) -> Result<[u8; 16], infra::Error> {
    Ok(match &request.idempotency_key {
        Some(key) => command_id(&[
            "operate",
            request.caller.app.as_str(),
            key,
            &request.fingerprint(app).await?,
        ]),
        None => app.ledger.fresh_id(),
    })
}

/// Returns whether the desk already executed the command of this request. The result is false for a
/// request without an idempotency key.
pub(super) async fn is_done(
    app: &App,
    request: &Asked,
    sn: &TicketSn,
) -> Result<bool, infra::Error> {
    Ok(request.idempotency_key.is_some()
        && tickets::is_done(app, sn, &own_command_id(app, request).await?).await?)
}

/// Executes a command on the ticket `sn` for a client of the BlueKing API. The person `by` is the
/// actor. Returns the data of the response, which is an empty list.
pub(super) async fn act(
    app: &App,
    request: &Asked,
    request_id: &str,
    sn: &TicketSn,
    by: PersonId,
    command: &Command,
) -> Result<Value, WireError> {
    let id = own_command_id(app, request).await?;
    let meta = request.caller.meta(request_id, by);
    match tickets::act(app, sn, command, &meta, id, None).await {
        Err(failure) => Err(not_done(app, failure).await),
        Ok(_) => Ok(json!([])),
    }
}
