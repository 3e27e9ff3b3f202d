//! Creates the log of a ticket from its events. The texts of the log are the texts of BlueKing ITSM
//! (reference/bk-itsm.md 11).

use domain::Envelope;
use domain::value::plain;
use events::ticket::TicketEvent;
use events::workflow::{Definition, Node, NodeKind};
use events::{NodeId, Origin, PersonId, Remark};
use infra::Error;
use serde_json::{Value, json};

use super::answer::WireError;
use super::render;
use super::request::Asked;
use crate::App;
use crate::app::people::People;
use crate::app::tickets;

pub(super) async fn ticket_logs(app: &App, request: &Asked) -> Result<Value, WireError> {
    let card = super::reads::ticket_card(app, request).await?;
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(WireError::no_ticket)?;
    let workflow = super::reads::workflow_of(app, &card).await?;
    let definition = &workflow.definition;
    let is_complex = request.text("show_type").as_deref() == Some("complex");
    let mut logs = Vec::new();
    for envelope in tickets::history(&app.ledger, &opened.sn.stream()).await? {
        let node = node_of(&envelope.event).and_then(|id| definition.node(id));
        let Some((by, message)) = operator_and_message(&app.people, &envelope, node).await? else {
            continue;
        };
        let mut log = json!({
            "operator": app.people.name(&by).await?,
            "operate_at": render::time(&app.settings, envelope.happened_at()),
            "message": message,
            "source": source(&envelope, &by, node),
        });
        if let Some(reason) = reason(&envelope.event)
            .map(Remark::read)
            .filter(|reason| !reason.is_empty())
        {
            log["reason"] = reason.into();
        }
        if is_complex {
            log["from_state_type"] = json!(node.map(|node| node.kind));
            log["form_data"] = form_data(app, definition, &envelope.event).await?;
        }
        logs.push(log);
    }
    Ok(json!({
        "sn": opened.sn,
        "title": card.ticket.title(),
        "create_at": render::time(&app.settings, card.created_at),
        "creator": app.people.name(&opened.creator).await?,
        "logs": logs,
    }))
}

/// Returns the form values for the log entry of an event. An automatic node has no form, so the
/// function returns the output variables of the node instead.
async fn form_data(
    app: &App,
    definition: &Definition,
    event: &TicketEvent,
) -> Result<Value, Error> {
    let form = match event {
        TicketEvent::NodeCompleted(done)
            if done.form.is_empty() && !done.outputs.is_empty() && done.by.is_system() =>
        {
            let variables: Vec<Value> = done
                .outputs
                .iter()
                .map(|(key, value)| json!({ "key": key, "value": value }))
                .collect();
            return Ok(json!([{ "output_variables": variables }]));
        }
        TicketEvent::NodeCompleted(done) => &done.form,
        TicketEvent::VoteCast(vote) => &vote.form,
        TicketEvent::FieldsChanged(changed) => &changed.form,
        _ => return Ok(json!([])),
    };
    let mut filled = Vec::new();
    for entry in form {
        if let Some(field) = definition.field(&entry.key) {
            filled.push(render::filled_field(app, field, Some(entry)).await?);
        }
    }
    Ok(filled.into())
}

/// Returns the node to which an event belongs. Returns `None` if the event belongs to the whole
/// ticket.
fn node_of(event: &TicketEvent) -> Option<NodeId> {
    Some(match event {
        TicketEvent::NodeEntered(event) => event.node,
        TicketEvent::NodeCompleted(event) => event.node,
        TicketEvent::VoteCast(event) => event.node,
        TicketEvent::NodeClaimed(event) => event.node,
        TicketEvent::NodeAssigned(event) => event.node,
        TicketEvent::NodeTransferred(event) => event.node,
        TicketEvent::NodeFailed(event) => event.node,
        TicketEvent::NodeRetried(event) => event.node,
        TicketEvent::NodeSkipped(event) => event.node,
        TicketEvent::NodeReassigned(event) => event.node,
        TicketEvent::ProcessorsMissing(event) => event.node,
        TicketEvent::TransitionMissing(event) => event.node,
        TicketEvent::Acknowledged(event) => event.node,
        TicketEvent::Escalated(event) => event.node,
        TicketEvent::Terminated(event) => event.node?,
        _ => return None,
    })
}

/// Returns the text that a person entered in the action of this event. The text is a reason, a
/// message or the comment of a rating. Returns `None` for event types that contain no text of a
/// person.
fn reason(event: &TicketEvent) -> Option<&Remark> {
    Some(match event {
        TicketEvent::VoteCast(event) => &event.reason,
        TicketEvent::NodeCompleted(event) => &event.reason,
        TicketEvent::NodeClaimed(event) => &event.reason,
        TicketEvent::NodeAssigned(event) => &event.message,
        TicketEvent::NodeTransferred(event) => &event.message,
        TicketEvent::NodeReassigned(event) => &event.message,
        TicketEvent::NodeRetried(event) => &event.reason,
        TicketEvent::NodeSkipped(event) => &event.reason,
        TicketEvent::TransitionTaken(event) => &event.reason,
        TicketEvent::Suspended(event) => &event.reason,
        TicketEvent::Resumed(event) => &event.reason,
        TicketEvent::Withdrawn(event) => &event.reason,
        TicketEvent::Terminated(event) => &event.reason,
        TicketEvent::Closed(event) => &event.reason,
        TicketEvent::Rated(event) => &event.comment,
        TicketEvent::Reminded(event) => &event.message,
        TicketEvent::Acknowledged(event) => &event.reason,
        TicketEvent::Escalated(event) => &event.reason,
        _ => return None,
    })
}

/// Returns the reason of an event as a suffix for a log message. If the reason is empty, the suffix
/// is also empty.
fn reason_suffix(reason: &Remark) -> String {
    if reason.read().is_empty() {
        String::new()
    } else {
        format!("：{}", reason.read())
    }
}

/// Returns the display name of the work that an automatic node does.
fn task_name(node: Option<&Node>) -> &'static str {
    match node.map(|node| node.kind) {
        Some(NodeKind::Webhook) => "WebHook任务",
        Some(NodeKind::Sops) => "标准运维任务",
        _ => "自动处理单据任务",
    }
}

fn source(envelope: &Envelope<TicketEvent>, by: &PersonId, node: Option<&Node>) -> &'static str {
    match envelope.meta.origin {
        _ if by.is_system() && node.is_some_and(|node| node.kind.is_automatic()) => "AUTOMATIC",
        _ if by.is_system() => "SYS",
        Origin::Web => "WEB",
        Origin::Mobile | Origin::Chat | Origin::Mail => "MOBILE",
        Origin::Api | Origin::Mqtt => "API",
        Origin::Automatic => "AUTOMATIC",
        Origin::System => "SYS",
    }
}

/// Returns the acting person and the message of the log entry for an event. Returns `None` for an
/// event without a log entry.
async fn operator_and_message(
    people: &People,
    envelope: &Envelope<TicketEvent>,
    node: Option<&Node>,
) -> Result<Option<(PersonId, String)>, Error> {
    let name = async |pid: &PersonId| people.name(pid).await;
    let task = task_name(node);
    Ok(Some(match &envelope.event {
        TicketEvent::Opened(opened) => (opened.creator.clone(), "流程开始.".into()),
        TicketEvent::NodeEntered(entered)
            if node.is_some_and(|node| node.kind == NodeKind::Sops) =>
        {
            (
                PersonId::system(),
                format!("开始执行{task}【{}】.", entered.name),
            )
        }
        TicketEvent::NodeCompleted(done) if done.by.is_system() => {
            (done.by.clone(), format!("{task}【{}】执行成功.", done.name))
        }
        // Each vote already has a log entry, so the completion of an approval node gets no entry.
        TicketEvent::NodeCompleted(done)
            if done.pass.is_none() && !node.is_some_and(|node| node.kind.is_vote()) =>
        {
            (
                done.by.clone(),
                format!(
                    "{} 处理【{}】{}",
                    name(&done.by).await?,
                    done.name,
                    reason_suffix(&done.reason)
                ),
            )
        }
        TicketEvent::VoteCast(vote) => {
            let how = if vote.pass { "通过" } else { "拒绝" };
            // The reason of a vote can also be one of the form values in this log entry. In this
            // case, the log entry already contains the reason, so the reason is not added a second
            // time.
            let is_in_form = vote
                .form
                .iter()
                .any(|entry| plain(entry.read()) == vote.reason.read());
            let why = if is_in_form {
                String::new()
            } else {
                reason_suffix(&vote.reason)
            };
            (
                vote.by.clone(),
                format!(
                    "{} 已处理【{}】({how}){why}",
                    name(&vote.by).await?,
                    vote.name
                ),
            )
        }
        TicketEvent::NodeClaimed(claimed) => (
            claimed.by.clone(),
            format!(
                "{} 认领【{}】{}.",
                name(&claimed.by).await?,
                claimed.name,
                reason_suffix(&claimed.reason)
            ),
        ),
        TicketEvent::NodeAssigned(given) => {
            let remark = if given.message.read().is_empty() {
                String::new()
            } else {
                format!(" ({})", given.message.read())
            };
            let targets = people.names(&given.processors).await?;
            (
                given.by.clone(),
                format!(
                    "{} 分配【{}】给：{targets}{remark}.",
                    name(&given.by).await?,
                    given.name
                ),
            )
        }
        TicketEvent::NodeTransferred(given) => {
            let targets = people.names(&given.processors).await?;
            (
                given.by.clone(),
                format!(
                    "{} 转单【{}】给 {targets}({}).",
                    name(&given.by).await?,
                    given.name,
                    given.message.read()
                ),
            )
        }
        TicketEvent::TransitionMissing(missing) => (
            PersonId::system(),
            format!(
                "【{}】之后没有满足条件的流转线，等待人工处理.",
                missing.name
            ),
        ),
        TicketEvent::Suspended(suspended) => (
            suspended.by.clone(),
            format!(
                "{} 挂起了单据：{}.",
                name(&suspended.by).await?,
                suspended.reason.read()
            ),
        ),
        TicketEvent::Resumed(resumed) => (
            resumed.by.clone(),
            format!(
                "{} 恢复了单据{}.",
                name(&resumed.by).await?,
                reason_suffix(&resumed.reason)
            ),
        ),
        TicketEvent::Withdrawn(withdrawn) => (
            withdrawn.by.clone(),
            format!(
                "{} 撤销单据{}.",
                name(&withdrawn.by).await?,
                reason_suffix(&withdrawn.reason)
            ),
        ),
        TicketEvent::Terminated(ended) if ended.node.is_some() => (
            ended.by.clone(),
            format!(
                "{}处理节点【{}】(流程被终止，【终止原因】:{}).",
                name(&ended.by).await?,
                ended.node_name,
                ended.reason.read()
            ),
        ),
        TicketEvent::Terminated(ended) => (
            ended.by.clone(),
            format!(
                "{} 关闭了单据：{}.",
                name(&ended.by).await?,
                ended.reason.read()
            ),
        ),
        TicketEvent::Finished(_) => (PersonId::system(), "流程结束.".into()),
        TicketEvent::NodeFailed(failed) => (
            PersonId::system(),
            format!("{task}【{}】执行失败：({}).", failed.name, failed.reason),
        ),
        TicketEvent::NodeRetried(retried) => (
            retried.by.clone(),
            format!(
                "{}重试单据任务【{}】{}.",
                name(&retried.by).await?,
                retried.name,
                reason_suffix(&retried.reason)
            ),
        ),
        TicketEvent::NodeSkipped(skipped) if skipped.by.is_system() => (
            PersonId::system(),
            format!("【{}】{}.", skipped.name, skipped.reason.read()),
        ),
        TicketEvent::NodeSkipped(skipped) => (
            skipped.by.clone(),
            format!(
                "{} 忽略了【{}】的执行结果{}.",
                name(&skipped.by).await?,
                skipped.name,
                reason_suffix(&skipped.reason)
            ),
        ),
        TicketEvent::NodeReassigned(given) => {
            let remark = if given.message.read().is_empty() {
                String::new()
            } else {
                format!(" ({})", given.message.read())
            };
            let targets = people.names(&given.processors).await?;
            (
                given.by.clone(),
                format!(
                    "{} 分配【{}】给：{targets}{remark}.",
                    name(&given.by).await?,
                    given.name
                ),
            )
        }
        TicketEvent::ProcessorsMissing(missing) => (
            PersonId::system(),
            format!("【{}】没有处理人，等待服务负责人指定.", missing.name),
        ),
        TicketEvent::TransitionTaken(taken) if taken.by.is_some() => {
            let by = taken.by.clone().unwrap_or_default();
            let text = format!(
                "{} 选择了流转线【{}】{}.",
                name(&by).await?,
                taken.name,
                reason_suffix(&taken.reason)
            );
            (by, text)
        }
        TicketEvent::Closed(closed) => (
            closed.by.clone(),
            format!(
                "{} 关闭了单据{}.",
                name(&closed.by).await?,
                reason_suffix(&closed.reason)
            ),
        ),
        TicketEvent::FieldsChanged(changed) => (
            changed.by.clone(),
            format!(
                "{} 修改字段{}.",
                name(&changed.by).await?,
                changed
                    .names
                    .iter()
                    .map(|field| format!("【{field}】"))
                    .collect::<Vec<_>>()
                    .concat()
            ),
        ),
        TicketEvent::Rated(rated) if rated.by.is_system() => {
            (PersonId::system(), rated.comment.read().to_owned())
        }
        TicketEvent::Rated(rated) => (
            rated.by.clone(),
            format!("{} 评价了单据：{} 星.", name(&rated.by).await?, rated.stars),
        ),
        TicketEvent::Reminded(reminded) => {
            let remark = if reminded.message.read().is_empty() {
                String::new()
            } else {
                format!(" ({})", reminded.message.read())
            };
            (
                reminded.by.clone(),
                format!(
                    "{} 督办了单据：{}{remark}.",
                    name(&reminded.by).await?,
                    people.names(&reminded.people).await?
                ),
            )
        }
        TicketEvent::Linked(linked) => (
            linked.by.clone(),
            format!("{} 关联了单据 {}.", name(&linked.by).await?, linked.other),
        ),
        TicketEvent::Unlinked(unlinked) => (
            unlinked.by.clone(),
            format!(
                "{} 解除了与单据 {} 的关联.",
                name(&unlinked.by).await?,
                unlinked.other
            ),
        ),
        TicketEvent::Acknowledged(acknowledged) => (
            acknowledged.by.clone(),
            format!(
                "{} 响应了【{}】{}.",
                name(&acknowledged.by).await?,
                acknowledged.name,
                reason_suffix(&acknowledged.reason)
            ),
        ),
        TicketEvent::Escalated(escalated) => {
            let to = people.names(&escalated.processors).await?;
            (
                escalated.by.clone(),
                format!(
                    "{} 升级【{}】给 {to}{}.",
                    name(&escalated.by).await?,
                    escalated.name,
                    reason_suffix(&escalated.reason)
                ),
            )
        }
        // These events have no log entries. Other operations return remarks and followers, and the
        // log entries of the following nodes show transitions and branches.
        TicketEvent::NodeCompleted(_)
        | TicketEvent::NodeEntered(_)
        | TicketEvent::TransitionTaken(_)
        | TicketEvent::RowImported(_)
        | TicketEvent::BranchesStarted(_)
        | TicketEvent::BranchJoined(_)
        | TicketEvent::NodeResultReceived(_)
        | TicketEvent::StatusSet(_)
        | TicketEvent::PriorityChanged(_)
        | TicketEvent::RemarkAdded(_)
        | TicketEvent::FollowersChanged(_) => return Ok(None),
    }))
}
