//! Decisions that come without a form, and what was decided (reference/bk-itsm.md 3.11).

use domain::numbers::sn_of_id;
use domain::ticket::Command;
use domain::ticket::form::plain;
use domain::views::ticket_card::TicketCard;
use events::ticket::{NodeStatus, TicketEvent};
use events::workflow::{Field, FieldKind, Node};
use events::{Entry, NodeId, TicketSn};
use serde_json::{Value, json};

use super::answer::{Refusal, Said};
use super::request::Asked;
use super::writes::{act, is_done};
use super::{reads, render};
use crate::{App, desk};

/// The names under which a decision's parts come.
struct Names {
    sn: &'static str,
    node: &'static str,
    by: &'static str,
    decision: &'static str,
    remark: &'static str,
}

/// `approve`.
const APPROVE: Names = Names { sn: "sn", node: "state_id", by: "approver", decision: "action", remark: "remark" };
/// `proceed_approval`, as company portals call it.
const PROCEED: Names = Names { sn: "process_inst_id", node: "activity", by: "handler", decision: "submit_action", remark: "submit_opinion" };

pub(super) async fn approve(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    decide(app, asked, request_id, &APPROVE).await
}

pub(super) async fn proceed_approval(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    decide(app, asked, request_id, &PROCEED).await
}

async fn decide(app: &App, asked: &Asked, request_id: &str, names: &Names) -> Result<Value, Refusal> {
    let sn = TicketSn(asked.required(names.sn)?);
    let node = NodeId(asked.required_int(names.node)?);
    let who = asked.actor(names.by)?;
    let decision = asked.required(names.decision)?;
    let pass = match decision.to_lowercase().as_str() {
        "true" => true,
        "false" => false,
        _ => return Err(Refusal::parameter(format!("{}:“{decision}” 不是合法选项。", names.decision))),
    };
    let by = app.people.find(&who).await?;
    let remark = asked.words(names.remark)?;
    act(app, asked, request_id, &sn, by.clone(), &Command::Decide { node, by, pass, remark }).await
}

/// A button of a chat card: `{"context": {"ticket_id", "state_id"}, "approver", "status": "true"|"false"}`. What comes back is shown to whoever pressed
/// it, so that it says in words what came of it.
pub(super) async fn proceed_fast_approval(app: &App, asked: &Asked, request_id: &str) -> Result<Said, Refusal> {
    let context = asked.get("context").filter(|context| context.is_object()).ok_or_else(|| Refusal::parameter("context:期望为一个字典。"))?;
    let int = |key: &str| plain(&context[key]).parse::<i64>().map_err(|_| Refusal::parameter(format!("context:{key}:请填写合法的整数值。")));
    let who = asked.actor("approver")?;
    let (sn, node) = (sn_of_id(int("ticket_id")?).ok_or_else(Refusal::no_ticket)?, NodeId(int("state_id")?));
    let pass = match asked.required("status")?.to_lowercase().as_str() {
        "true" => true,
        "false" => false,
        other => return Err(Refusal::parameter(format!("status:“{other}” 不是合法选项。"))),
    };
    let card = desk::card(app, &sn).await?.ok_or_else(Refusal::no_ticket)?;
    let opened = card.ticket.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
    let ticket = format!("单号：{} ({})", opened.sn, render::ticket_url(&app.settings, opened.id));
    let by = app.people.find(&who).await?;
    let visit = card.ticket.nodes.get(&node).ok_or_else(|| no_node(node))?;
    let done = if pass { "通过" } else { "拒绝" };
    let said = Said { data: Value::Null, message: format!("『ITSM』【审批成功通知】\n\n{ticket}\n您的审批动作为：{done}") };
    if is_done(app, asked, &sn).await? {
        return Ok(said);
    }
    if visit.status != NodeStatus::Running || card.ticket.status.is_over() {
        return Err(Refusal::new(-1, format!("『ITSM』【审批失败通知】\n\n{ticket}\n当前单据审批操作已被处理")));
    }
    if !card.ticket.may_act(visit, &by) {
        return Err(Refusal::new(-1, format!("单据审批失败，{who}不是当前节点的审批人，无法审批")));
    }
    let command = Command::Decide { node, by: by.clone(), pass, remark: "快速审批".into() };
    act(app, asked, request_id, &sn, by, &command).await.map_err(|not| Refusal { code: -1, ..not })?;
    Ok(said)
}

/// Whoever has voted at a node, in order.
pub(super) async fn approver(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let card = reads::ticket_card(app, asked).await?;
    let node = NodeId(asked.required_int("state_id")?);
    let visit = card.ticket.nodes.get(&node).ok_or_else(|| no_node(node))?;
    let voters: Vec<&events::Pid> = visit.votes.iter().map(|vote| &vote.by).collect();
    Ok(json!({ "approver": app.people.names(voters).await? }))
}

/// What a node that is done came to.
pub(super) async fn node_result(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let card = reads::ticket_card(app, asked).await?;
    let workflow = reads::workflow_of(app, &card).await?;
    let id = NodeId(asked.required_int("state_id")?);
    let visit = card.ticket.nodes.get(&id).ok_or_else(|| no_node(id))?;
    if visit.status != NodeStatus::Finished {
        return Err(Refusal::parameter(format!("参数验证失败: 节点【{}】尚未结束", visit.name)));
    }
    let node: &Node = workflow.definition.node(id).ok_or_else(|| no_node(id))?;
    let pass = visit.pass.unwrap_or(true);
    let form = last_form(app, &card, id).await?;
    // The reason of a rejection must be given, a word beside a pass may be (reference/bk-itsm.md 3.11).
    let mut texts: Vec<&Field> = workflow.definition.fields_of(node).filter(|field| field.kind.is_prose()).collect();
    texts.sort_by_key(|field| field.is_required == pass);
    let mut remark = String::new();
    for field in texts {
        let value = form.iter().find(|entry| entry.key == field.key).map(|entry| entry.read().clone()).unwrap_or_default();
        remark = domain::ticket::form::plain(&app.people.value_out(Some(field), &value).await?);
        if !remark.is_empty() {
            break;
        }
    }
    if remark.is_empty() {
        visit.why().clone_into(&mut remark);
    }
    // A node that is no approval says so by a choice of its form, as the original reads it.
    let chosen = || {
        let radios = workflow.definition.fields_of(node).filter(|field| field.kind == FieldKind::Radio).filter_map(|field| card.ticket.form.get(&field.key));
        radios.into_iter().any(|entry| plain(entry.read()) == "true")
    };
    let people = if visit.votes.is_empty() { visit.by.iter().collect::<Vec<_>>() } else { visit.votes.iter().map(|vote| &vote.by).collect() };
    Ok(json!({
        "name": visit.name,
        "processed_user": app.people.names(people).await?,
        "approve_result": visit.pass.unwrap_or_else(chosen),
        "approve_remark": remark,
    }))
}

/// What was filled in at a node when it was last completed: with the last vote there, or the submission.
async fn last_form(app: &App, card: &TicketCard, node: NodeId) -> Result<Vec<Entry>, Refusal> {
    let Some(opened) = &card.ticket.opened else { return Ok(Vec::new()) };
    let mut form = Vec::new();
    for envelope in desk::history(&app.ledger, &opened.sn.stream()).await? {
        match envelope.event {
            TicketEvent::NodeEntered(entered) if entered.node == node => form.clear(),
            TicketEvent::VoteCast(vote) if vote.node == node => form = vote.form,
            TicketEvent::NodeCompleted(done) if done.node == node && !done.form.is_empty() => form = done.form,
            _ => {}
        }
    }
    Ok(form)
}

/// What an approver reads in a message: the ticket and its form, as Markdown. What people typed stands in it as text.
pub(super) async fn summary(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let card = reads::ticket_card(app, asked).await?;
    let workflow = reads::workflow_of(app, &card).await?;
    let opened = card.ticket.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
    let mut lines = vec![
        format!("**{}**", escaped(&card.ticket.title())),
        format!("单号：{}", opened.sn),
        format!("服务：{}", escaped(&opened.service_name)),
        format!("提单人：{}", escaped(&app.people.name(&opened.creator).await?)),
    ];
    for field in render::filled(app, &card, &workflow.definition).await? {
        let shown = field["display_value"].as_str().map_or_else(|| field["display_value"].to_string(), str::to_owned);
        if field["key"] != "title" && !shown.is_empty() {
            lines.push(format!("{}：{}", escaped(field["name"].as_str().unwrap_or_default()), escaped(&shown)));
        }
    }
    lines.push(render::ticket_url(&app.settings, opened.id));
    Ok(json!({ "summary": lines.join("\n") }))
}

/// A text in which no character has a meaning of its own to Markdown.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '-' | '!' | '|' | '<' | '>' | '~' => format!("\\{c}"),
        '\n' | '\r' => " ".to_owned(),
        other => other.to_string(),
    };
    text.chars().take(500).map(one).collect()
}

fn no_node(node: NodeId) -> Refusal {
    Refusal::new(3_900_017, format!("没有找到对应的节点: {node}"))
}
