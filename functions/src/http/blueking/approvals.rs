//! Implements the BlueKing operations for approvals without a form: approve, reject, and read the
//! result of an approval (reference/bk-itsm.md 3.11).

use domain::number_sequence::sn_of_id;
use domain::ticket::Command;
use domain::value::plain;
use domain::views::ticket_card::TicketCard;
use events::ticket::{NodeStatus, TicketEvent};
use events::workflow::{Field, FieldKind, Node};
use events::{Entry, NodeId, TicketSn};
use serde_json::{Value, json};

use super::answer::{Said, WireError};
use super::request::Asked;
use super::writes::{act, is_done};
use super::{reads, render};
use crate::App;
use crate::app::tickets;

/// The names of the request parameters that contain an approval decision. Several operations accept
/// an approval decision, and each operation uses its own parameter names.
struct Names {
    sn: &'static str,
    node: &'static str,
    by: &'static str,
    decision: &'static str,
    remark: &'static str,
}

/// The parameter names of the operation `approve`.
const APPROVE: Names = Names {
    sn: "sn",
    node: "state_id",
    by: "approver",
    decision: "action",
    remark: "remark",
};
/// The parameter names of the operation `proceed_approval`. Company portals (websites for
/// employees) call this operation.
const PROCEED: Names = Names {
    sn: "process_inst_id",
    node: "activity",
    by: "handler",
    decision: "submit_action",
    remark: "submit_opinion",
};

pub(super) async fn approve(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    decide(app, request, request_id, &APPROVE).await
}

pub(super) async fn proceed_approval(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    decide(app, request, request_id, &PROCEED).await
}

async fn decide(
    app: &App,
    request: &Asked,
    request_id: &str,
    names: &Names,
) -> Result<Value, WireError> {
    let sn = TicketSn(request.required(names.sn)?);
    let node = NodeId(request.required_int(names.node)?);
    let approver = request.actor(names.by)?;
    let decision = request.required(names.decision)?;
    let pass = match decision.to_lowercase().as_str() {
        "true" => true,
        "false" => false,
        _ => {
            return Err(WireError::parameter(format!(
                "{}:“{decision}” 不是合法选项。",
                names.decision
            )));
        }
    };
    let by = app.people.find(&approver).await?;
    let remark = request.words(names.remark)?;
    act(
        app,
        request,
        request_id,
        &sn,
        by.clone(),
        &Command::Decide {
            node,
            by,
            pass,
            remark,
        },
    )
    .await
}

/// Handles the click on a button in an interactive chat message. The request body is `{"context":
/// {"ticket_id", "state_id"}, "approver", "status": "true"|"false"}`.
///
/// The chat shows the message of the response to the approver. The message therefore contains the
/// result of the decision.
pub(super) async fn proceed_fast_approval(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Said, WireError> {
    let context = request
        .get("context")
        .filter(|context| context.is_object())
        .ok_or_else(|| WireError::parameter("context:期望为一个字典。"))?;
    let int = |key: &str| {
        plain(&context[key])
            .parse::<i64>()
            .map_err(|_| WireError::parameter(format!("context:{key}:请填写合法的整数值。")))
    };
    let approver_name = request.actor("approver")?;
    let (sn, node) = (
        sn_of_id(int("ticket_id")?).ok_or_else(WireError::no_ticket)?,
        NodeId(int("state_id")?),
    );
    let pass = match request.required("status")?.to_lowercase().as_str() {
        "true" => true,
        "false" => false,
        other => {
            return Err(WireError::parameter(format!(
                "status:“{other}” 不是合法选项。"
            )));
        }
    };
    let card = tickets::card(app, &sn)
        .await?
        .ok_or_else(WireError::no_ticket)?;
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(WireError::no_ticket)?;
    let ticket = format!(
        "单号：{} ({})",
        opened.sn,
        render::ticket_url(&app.settings, opened.id)
    );
    let by = app.people.find(&approver_name).await?;
    let node_run = card.ticket.nodes.get(&node).ok_or_else(|| no_node(node))?;
    let done = if pass { "通过" } else { "拒绝" };
    let success = Said {
        data: Value::Null,
        message: format!("『ITSM』【审批成功通知】\n\n{ticket}\n您的审批动作为：{done}"),
    };
    if is_done(app, request, &sn).await? {
        return Ok(success);
    }
    if node_run.status != NodeStatus::Running || card.ticket.status.is_over() {
        return Err(WireError::new(
            -1,
            format!("『ITSM』【审批失败通知】\n\n{ticket}\n当前单据审批操作已被处理"),
        ));
    }
    if !card.ticket.may_act(node_run, &by) {
        return Err(WireError::new(
            -1,
            format!("单据审批失败，{approver_name}不是当前节点的审批人，无法审批"),
        ));
    }
    let command = Command::Decide {
        node,
        by: by.clone(),
        pass,
        remark: "快速审批".into(),
    };
    act(app, request, request_id, &sn, by, &command)
        .await
        .map_err(|error| WireError { code: -1, ..error })?;
    Ok(success)
}

/// Returns the people who have voted at an approval node, in the order of their votes.
pub(super) async fn approver(app: &App, request: &Asked) -> Result<Value, WireError> {
    let card = reads::ticket_card(app, request).await?;
    let node = NodeId(request.required_int("state_id")?);
    let node_run = card.ticket.nodes.get(&node).ok_or_else(|| no_node(node))?;
    let voters: Vec<&events::PersonId> = node_run.votes.iter().map(|vote| &vote.by).collect();
    Ok(json!({ "approver": app.people.names(voters).await? }))
}

/// Returns the result of a node of a ticket. Returns an error if the node is not completed yet.
pub(super) async fn node_result(app: &App, request: &Asked) -> Result<Value, WireError> {
    let card = reads::ticket_card(app, request).await?;
    let workflow = reads::workflow_of(app, &card).await?;
    let id = NodeId(request.required_int("state_id")?);
    let node_run = card.ticket.nodes.get(&id).ok_or_else(|| no_node(id))?;
    if node_run.status != NodeStatus::Finished {
        return Err(WireError::parameter(format!(
            "参数验证失败: 节点【{}】尚未结束",
            node_run.name
        )));
    }
    let node: &Node = workflow.definition.node(id).ok_or_else(|| no_node(id))?;
    let pass = node_run.pass.unwrap_or(true);
    let form = last_form(app, &card, id).await?;
    // The loop searches the text fields of the form for the reason of the decision. A rejection
    // must have a reason, so its reason is in a required field (reference/bk-itsm.md 3.11). After a
    // rejection, the loop therefore begins with the required fields. After an approval, the loop
    // begins with the optional fields.
    let mut texts: Vec<&Field> = workflow
        .definition
        .fields_of(node)
        .filter(|field| field.kind.is_prose())
        .collect();
    texts.sort_by_key(|field| field.is_required == pass);
    let mut remark = String::new();
    for field in texts {
        let value = form
            .iter()
            .find(|entry| entry.key == field.key)
            .map(|entry| entry.read().clone())
            .unwrap_or_default();
        remark = domain::value::plain(&app.people.value_out(Some(field), &value).await?);
        if !remark.is_empty() {
            break;
        }
    }
    if remark.is_empty() {
        node_run.why().clone_into(&mut remark);
    }
    // If a node has no approval, it has no vote result. Its result is then the value of its radio
    // field, as in BlueKing ITSM.
    let chosen = || {
        let radios = workflow
            .definition
            .fields_of(node)
            .filter(|field| field.kind == FieldKind::Radio)
            .filter_map(|field| card.ticket.form.get(&field.key));
        radios
            .into_iter()
            .any(|entry| plain(entry.read()) == "true")
    };
    let people = if node_run.votes.is_empty() {
        node_run.by.iter().collect::<Vec<_>>()
    } else {
        node_run.votes.iter().map(|vote| &vote.by).collect()
    };
    Ok(json!({
        "name": node_run.name,
        "processed_user": app.people.names(people).await?,
        "approve_result": node_run.pass.unwrap_or_else(chosen),
        "approve_remark": remark,
    }))
}

/// Returns the form values of the last submission at `node`. A submission is a vote or the
/// completion of the node.
async fn last_form(app: &App, card: &TicketCard, node: NodeId) -> Result<Vec<Entry>, WireError> {
    let Some(opened) = &card.ticket.opened else {
        return Ok(Vec::new());
    };
    let mut form = Vec::new();
    for envelope in tickets::history(&app.ledger, &opened.sn.stream()).await? {
        match envelope.event {
            TicketEvent::NodeEntered(entered) if entered.node == node => form.clear(),
            TicketEvent::VoteCast(vote) if vote.node == node => form = vote.form,
            TicketEvent::NodeCompleted(done) if done.node == node && !done.form.is_empty() => {
                form = done.form;
            }
            _ => {}
        }
    }
    Ok(form)
}

/// Returns the content of a ticket as Markdown text for approvers. The special characters of
/// Markdown are escaped in all values from users.
pub(super) async fn summary(app: &App, request: &Asked) -> Result<Value, WireError> {
    let card = reads::ticket_card(app, request).await?;
    let workflow = reads::workflow_of(app, &card).await?;
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(WireError::no_ticket)?;
    let mut lines = vec![
        format!("**{}**", escaped(&card.ticket.title())),
        format!("单号：{}", opened.sn),
        format!("服务：{}", escaped(&opened.service_name)),
        format!(
            "提单人：{}",
            escaped(&app.people.name(&opened.creator).await?)
        ),
    ];
    for field in render::filled(app, &card, &workflow.definition).await? {
        let shown = field["display_value"]
            .as_str()
            .map_or_else(|| field["display_value"].to_string(), str::to_owned);
        if field["key"] != "title" && !shown.is_empty() {
            lines.push(format!(
                "{}：{}",
                escaped(field["name"].as_str().unwrap_or_default()),
                escaped(&shown)
            ));
        }
    }
    lines.push(render::ticket_url(&app.settings, opened.id));
    Ok(json!({ "summary": lines.join("\n") }))
}

/// Shortens a text to at most 500 characters. Then escapes all special characters of Markdown in
/// the text.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '-' | '!'
        | '|' | '<' | '>' | '~' => format!("\\{c}"),
        '\n' | '\r' => " ".to_owned(),
        other => other.to_string(),
    };
    text.chars().take(500).map(one).collect()
}

fn no_node(node: NodeId) -> WireError {
    WireError::new(3_900_017, format!("没有找到对应的节点: {node}"))
}
