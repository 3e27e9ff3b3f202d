//! The log of a ticket, told from its events (texts: reference/bk-itsm.md 11).

use domain::Envelope;
use events::ticket::TicketEvent;
use events::{Channel, Pid};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::render;
use super::request::Asked;
use crate::people::People;
use crate::{App, desk};

/// Longest message of an entry.
const MESSAGE_MAX: usize = 500;

pub(super) async fn ticket_logs(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let card = super::reads::ticket_card(app, asked).await?;
    let opened = card.ticket.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
    let mut logs = Vec::new();
    for envelope in desk::history(&app.ledger, &opened.sn.stream()).await? {
        let Some((by, message)) = told(&app.people, &envelope).await? else { continue };
        logs.push(json!({
            "operator": app.people.name(&by).await?,
            "operate_at": render::time(&app.settings, envelope.happened_at()),
            "message": message.chars().take(MESSAGE_MAX).collect::<String>(),
            "source": source(&envelope, &by),
        }));
    }
    Ok(json!({
        "sn": opened.sn,
        "title": card.ticket.title(),
        "create_at": render::time(&app.settings, card.created_at),
        "creator": app.people.name(&opened.creator).await?,
        "logs": logs,
    }))
}

fn source(envelope: &Envelope<TicketEvent>, by: &Pid) -> &'static str {
    match envelope.meta.channel {
        _ if by.is_system() => "SYS",
        Channel::Web => "WEB",
        Channel::Mobile | Channel::Chat | Channel::Mail => "MOBILE",
        Channel::Api | Channel::Mqtt => "API",
        Channel::Automatic => "AUTOMATIC",
        Channel::System => "SYS",
    }
}

/// Who did what, in the words of the wire; `None` for steps that people are not told about.
async fn told(people: &People, envelope: &Envelope<TicketEvent>) -> Result<Option<(Pid, String)>, infra::Error> {
    let name = async |pid: &Pid| people.name(pid).await;
    Ok(Some(match &envelope.event {
        TicketEvent::Opened(opened) => (opened.creator.clone(), "流程开始.".into()),
        TicketEvent::NodeCompleted(done) if done.pass.is_none() => (done.by.clone(), format!("{} 处理【{}】", name(&done.by).await?, done.name)),
        TicketEvent::VoteCast(vote) => {
            let how = if vote.pass { "通过" } else { "拒绝" };
            (vote.by.clone(), format!("{} 已处理【{}】({how})", name(&vote.by).await?, vote.name))
        }
        TicketEvent::NodeClaimed(claimed) => (claimed.by.clone(), format!("{} 认领【{}】.", name(&claimed.by).await?, claimed.name)),
        TicketEvent::NodeDistributed(given) => {
            let remark = if given.message.read().is_empty() { String::new() } else { format!(" ({})", given.message.read()) };
            let targets = people.names(&given.processors).await?;
            (given.by.clone(), format!("{} 分配【{}】给：{targets}{remark}.", name(&given.by).await?, given.name))
        }
        TicketEvent::NodeDelivered(given) => {
            let targets = people.names(&given.processors).await?;
            (given.by.clone(), format!("{} 转单【{}】给 {targets}({}).", name(&given.by).await?, given.name, given.message.read()))
        }
        TicketEvent::LineMissing(missing) => (Pid::system(), format!("【{}】之后没有满足条件的流转线，等待人工处理.", missing.name)),
        TicketEvent::Suspended(suspended) => (suspended.by.clone(), format!("{} 挂起了单据：{}.", name(&suspended.by).await?, suspended.reason.read())),
        TicketEvent::Resumed(resumed) => (resumed.by.clone(), format!("{} 恢复了单据.", name(&resumed.by).await?)),
        TicketEvent::Withdrawn(withdrawn) => (withdrawn.by.clone(), format!("{} 撤销单据.", name(&withdrawn.by).await?)),
        TicketEvent::Terminated(ended) if ended.node.is_some() => {
            (ended.by.clone(), format!("{}处理节点【{}】(流程被终止，【终止原因】:{}).", name(&ended.by).await?, ended.node_name, ended.reason.read()))
        }
        TicketEvent::Terminated(ended) => (ended.by.clone(), format!("{} 关闭了单据：{}.", name(&ended.by).await?, ended.reason.read())),
        TicketEvent::Finished(_) => (Pid::system(), "流程结束.".into()),
        TicketEvent::NodeCompleted(_) | TicketEvent::NodeEntered(_) | TicketEvent::LineTaken(_) | TicketEvent::Observed(_) => return Ok(None),
    }))
}
