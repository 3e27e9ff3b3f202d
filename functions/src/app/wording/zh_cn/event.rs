//! Contains the Chinese sentences that describe the events of a ticket in its timeline. The page shows the
//! name of the acting person before each sentence.

use events::ticket::{
    BranchJoined, Closed, FollowersChanged, NodeAssigned, NodeEntered, NodeSkipped, NodeStatus,
    Opened, Phase, Relation, RemarkAdded, RowImported, ServiceKind, TicketEvent, TransitionTaken,
    VoteCast,
};
use events::workflow::service_task::Executor;

use super::{level, ticket_status};
use crate::app::wording::{Names, ended_parent, has_tested_condition, is_own_change};

/// Returns the sentence that describes an event in the ticket timeline. Returns `None` for an event that the
/// timeline does not show.
pub(in crate::app::wording) fn text(event: &TicketEvent, names: &Names<'_>) -> Option<String> {
    Some(match event {
        TicketEvent::Opened(opened) => self::opened(opened, names),
        TicketEvent::RowImported(row) => imported(row),
        TicketEvent::NodeEntered(entered) => self::entered(entered, names),
        TicketEvent::NodeClaimed(claimed) => {
            let node = node(&claimed.name);
            if claimed.automatic {
                let by = names.one(&claimed.by);
                format!("{node}只有 {by} 可以认领，已自动认领")
            } else {
                format!("认领了{node}")
            }
        }
        TicketEvent::NodeAssigned(assigned) => self::assigned(assigned, names),
        TicketEvent::NodeTransferred(transferred) => {
            let node = node(&transferred.name);
            let to = names.all(&transferred.processors);
            match &transferred.replaces {
                Some(from) => format!("将 {} 在{node}的审批转单给 {to}", names.one(from)),
                None => format!("将{node}转单给 {to}"),
            }
        }
        TicketEvent::VoteCast(vote) => voted(vote, names),
        TicketEvent::NodeCompleted(completed) => {
            let node = node(&completed.name);
            match completed.pass {
                Some(true) => format!("{node}审批通过"),
                Some(false) => format!("{node}审批未通过"),
                None if completed.by.is_system() => format!("{node}已自动完成"),
                None => format!("处理完成{node}"),
            }
        }
        TicketEvent::TransitionTaken(taken) => return self::taken(taken),
        TicketEvent::TransitionMissing(missing) => format!(
            "{}之后没有满足条件的流转线，等待服务负责人选择流转线",
            node(&missing.name)
        ),
        TicketEvent::Suspended(_) => "挂起了工单".into(),
        TicketEvent::Resumed(_) => "恢复了工单".into(),
        TicketEvent::Withdrawn(_) => "撤销了工单".into(),
        TicketEvent::Terminated(terminated) if terminated.node.is_some() => {
            format!("在{}终止了工单", node(&terminated.node_name))
        }
        TicketEvent::Terminated(_) => "终止了工单".into(),
        TicketEvent::Finished(_) => "流程结束，工单已完成".into(),
        TicketEvent::BranchesStarted(started) => format!(
            "{}开始 {} 条并行分支",
            node(&started.name),
            started.branches.len()
        ),
        TicketEvent::BranchJoined(joined) => self::joined(joined),
        TicketEvent::NodeResultReceived(received) => {
            let node = node(&received.name);
            let attempt = match received.attempt {
                0 | 1 => String::new(),
                attempt => format!("第 {attempt} 次"),
            };
            let result = if received.succeeded {
                "成功"
            } else {
                "失败"
            };
            format!("{node}{attempt}执行{result}")
        }
        TicketEvent::NodeFailed(failed) => {
            format!("{}异常，等待人工重试或忽略", node(&failed.name))
        }
        TicketEvent::NodeRetried(retried) => {
            let (node, attempt) = (node(&retried.name), retried.attempt);
            format!("重试{node}，第 {attempt} 次执行")
        }
        TicketEvent::NodeSkipped(skipped) => self::skipped(skipped),
        TicketEvent::NodeReassigned(reassigned) => {
            let to = names.all(&reassigned.processors);
            format!("将{}的处理人改为 {to}", node(&reassigned.name))
        }
        TicketEvent::ProcessorsMissing(missing) => {
            format!("{}没有处理人，等待服务负责人派单", node(&missing.name))
        }
        TicketEvent::StatusSet(set) => format!("工单状态变为“{}”", status(&set.status)),
        TicketEvent::Closed(closed) => self::closed(closed),
        TicketEvent::FieldsChanged(changed) => {
            let fields: Vec<String> = changed
                .names
                .iter()
                .map(|field| format!("“{field}”"))
                .collect();
            format!("修改了字段{}", fields.join("、"))
        }
        TicketEvent::PriorityChanged(changed) => {
            format!("优先级变为“{}”", level(&changed.priority.key))
        }
        TicketEvent::RemarkAdded(added) => remarked(added),
        TicketEvent::FollowersChanged(changed) => followed(changed, names),
        TicketEvent::Rated(rated) if rated.by.is_system() => {
            format!("提单人未在期限内评价，系统自动评为 {} 星", rated.stars)
        }
        TicketEvent::Rated(rated) => format!("评价了工单：{} 星", rated.stars),
        TicketEvent::Reminded(reminded) if reminded.people.is_empty() => "督办了工单".into(),
        TicketEvent::Reminded(reminded) => {
            format!("督办了工单，提醒 {} 尽快处理", names.all(&reminded.people))
        }
        TicketEvent::Linked(linked) => {
            format!("关联了{} {}", other(linked.relation), linked.other)
        }
        TicketEvent::Unlinked(unlinked) => {
            format!(
                "解除了与{} {} 的关联",
                other(unlinked.relation),
                unlinked.other
            )
        }
        TicketEvent::Acknowledged(acknowledged) => {
            format!("响应了{}", node(&acknowledged.name))
        }
        TicketEvent::Escalated(escalated) => {
            let (node, level) = (node(&escalated.name), escalated.level);
            let to = names.all(&escalated.processors);
            format!("将{node}升级（第 {level} 级），增加处理人 {to}")
        }
    })
}

fn node(name: &str) -> String {
    format!("节点【{name}】")
}

fn status(key: &str) -> &str {
    ticket_status(key).unwrap_or(key)
}

fn opened(opened: &Opened, names: &Names<'_>) -> String {
    let kind = match opened.kind {
        ServiceKind::Request => "请求",
        ServiceKind::Change => "变更",
        ServiceKind::Event => "事件",
        ServiceKind::Question => "问题",
    };
    let creator = if opened.agent.is_some() {
        format!("代 {} ", names.one(&opened.creator))
    } else {
        String::new()
    };
    let (sn, service) = (&opened.sn, &opened.service_name);
    format!("{creator}提交了{kind}单 {sn}（服务：{service}）")
}

fn imported(row: &RowImported) -> String {
    let phase = match row.phase {
        Phase::Open => "未解决",
        Phase::Waiting => "等待中",
        Phase::Resolved => "已解决",
        Phase::Closed => "已关闭",
    };
    let (source, case, state) = (&row.source, &row.case, &row.state);
    format!("从 {source} 导入了记录 {case}：{phase}（原状态“{state}”）")
}

fn entered(entered: &NodeEntered, names: &Names<'_>) -> String {
    let node = node(&entered.name);
    let start = match entered.round {
        0 | 1 => format!("进入{node}"),
        round => format!("第 {round} 次进入{node}"),
    };
    match next_step(entered, names) {
        Some(next) => format!("{start}，{next}"),
        None => start,
    }
}

/// Describes what happens next at a workflow node that the ticket entered, such as who must act. Returns
/// `None` if the node waits for no action.
fn next_step(entered: &NodeEntered, names: &Names<'_>) -> Option<String> {
    if entered.automatic {
        let work = match entered.executor {
            Executor::ApiCall => "开始调用接口",
            Executor::Application => "开始向外部系统申请审批",
            Executor::Dispatch => "开始安排机器人作业",
        };
        return Some(work.to_owned());
    }
    let action = match entered.status {
        NodeStatus::Distributing => "派单",
        NodeStatus::Receiving => "认领",
        NodeStatus::Running if entered.is_vote => "审批",
        NodeStatus::Running => "处理",
        NodeStatus::Finished | NodeStatus::Terminated | NodeStatus::Failed => return None,
    };
    if entered.processors_type == "OPEN" {
        return Some(format!("任何人都可以{action}"));
    }
    if entered.processors.is_empty() {
        return None;
    }
    let people = names.all(&entered.processors);
    Some(format!("等待 {people} {action}"))
}

fn assigned(assigned: &NodeAssigned, names: &Names<'_>) -> String {
    let (node, to) = (node(&assigned.name), names.all(&assigned.processors));
    let next = if assigned.status == NodeStatus::Receiving {
        "，等待认领"
    } else {
        ""
    };
    format!("将{node}派单给 {to}{next}")
}

fn voted(vote: &VoteCast, names: &Names<'_>) -> String {
    let node = node(&vote.name);
    if vote.automatic {
        let by = names.one(&vote.by);
        return format!("审批人 {by} 就是提单人，{node}自动同意");
    }
    let result = if vote.pass { "同意" } else { "拒绝" };
    format!("在{node}审批{result}")
}

/// Describes the transition that the ticket followed in the workflow. Returns `None` if no person chose the transition
/// and the desk tested no conditions.
fn taken(taken: &TransitionTaken) -> Option<String> {
    let transition = if taken.name.is_empty() {
        format!("流转线 {}", taken.transition)
    } else {
        format!("流转线【{}】", taken.name)
    };
    if taken.by.is_some() {
        Some(format!("人工选择了{transition}"))
    } else if taken.tested.is_empty() {
        None
    } else if has_tested_condition(taken) {
        Some(format!("条件满足，进入{transition}"))
    } else {
        Some(format!("其他条件都不满足，进入{transition}"))
    }
}

fn joined(joined: &BranchJoined) -> String {
    let node = node(&joined.name);
    match joined.waiting_for.len() {
        0 => format!("所有分支都已到达{node}"),
        waiting => format!("一条分支到达{node}，还有 {waiting} 条分支未到达"),
    }
}

fn skipped(skipped: &NodeSkipped) -> String {
    let node = node(&skipped.name);
    if skipped.by.is_system() {
        format!("{node}没有处理人，已自动跳过")
    } else {
        format!("忽略了{node}的异常，流程继续")
    }
}

fn closed(closed: &Closed) -> String {
    let status = status(&closed.status);
    match ended_parent(closed) {
        Some(parent) => format!("母单 {parent} 已结束，工单随之结束，状态为“{status}”"),
        None if closed.by.is_system() => format!("流程将工单置为“{status}”，工单结束"),
        None => format!("关闭了工单，状态为“{status}”"),
    }
}

fn remarked(added: &RemarkAdded) -> String {
    let mark = if added.internal { " (内部)" } else { "" };
    match added.parent {
        Some(parent) => format!("回复了第 {parent} 条评论{mark}"),
        None => format!("添加了评论{mark}"),
    }
}

fn followed(changed: &FollowersChanged, names: &Names<'_>) -> String {
    match (changed.follows, is_own_change(changed)) {
        (true, true) => "关注了工单".into(),
        (false, true) => "取消关注工单".into(),
        (true, false) => format!("添加了关注人 {}", names.all(&changed.people)),
        (false, false) => format!("移除了关注人 {}", names.all(&changed.people)),
    }
}

/// Returns the Chinese word for the other ticket of a link between two tickets. An example is the word for a parent
/// ticket.
fn other(relation: Relation) -> &'static str {
    match relation {
        Relation::RaisedFrom => "来源工单",
        Relation::Raised => "衍生工单",
        Relation::Related => "相关工单",
        Relation::ChildOf => "母单",
        Relation::ParentOf => "子单",
    }
}
