//! Contains the Chinese texts of the web console: the names of statuses and states, and the words for the
//! details of events.

pub(super) mod event;
pub(super) mod finding;
pub(super) mod rejection;

use events::TransitionId;
use events::ticket::NodeStatus;
use events::workflow::{Holds, Operator};

use super::words::Words;
use crate::app::itsm::applications::NotApplied;

pub(super) static WORDS: Words = Words {
    separator: "、",
    row_separator: "；",
    colon: "：",
    empty: "（空）",
    erased: "[已删除]",
    personal: "（个人信息）",
    reason: "原因",
    message: "说明",
    opinion: "意见",
    comment: "评语",
    task: "外部任务",
    title: "标题",
    group: "处理组",
    actor: "操作人",
    priority: "优先级",
    impact: "影响范围",
    urgency: "紧急程度",
    callback: "回调接收方",
    mentions: "提到",
    invited: "关注人可以查看完整工单",
    approved: "同意",
    rejected: "拒绝",
    output,
    level,
    quoted,
    clause,
    tested,
};

fn output(holds: Holds) -> &'static str {
    match holds {
        Holds::ApproveResult => "审批结果",
        Holds::Approver => "审批人",
        Holds::ProcessCount => "处理人数",
        Holds::PassCount => "同意人数",
        Holds::RejectCount => "拒绝人数",
        Holds::PassRate => "同意率",
        Holds::RejectRate => "拒绝率",
    }
}

/// Returns the Chinese name of a ticket status. Returns `None` for an unknown status.
pub(super) fn ticket_status(key: &str) -> Option<&'static str> {
    Some(match key {
        "RUNNING" => "处理中",
        "RESOLVED" => "已解决",
        "CONFIRMED" => "待确认",
        "SUSPENDED" => "已挂起",
        "FINISHED" => "已完成",
        "TERMINATED" => "已终止",
        "REVOKED" => "已撤销",
        "OBSERVED" => "外部导入",
        _ => return None,
    })
}

pub(super) fn node_status(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Distributing => "待派单",
        NodeStatus::Receiving => "待认领",
        NodeStatus::Running => "处理中",
        NodeStatus::Finished => "已完成",
        NodeStatus::Terminated => "已终止",
        NodeStatus::Failed => "异常，待人工处理",
    }
}

pub(super) fn mission(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "未结束",
        "queued" => "等待机器人",
        "offered" => "等待机器人接受",
        "accepted" => "机器人已接受",
        "working" => "作业中",
        "suspect" => "机器人失联",
        "canceling" => "取消中",
        "done" => "已结束",
        "succeeded" => "成功",
        "failed" => "失败",
        _ => return None,
    })
}

pub(super) fn delivery(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "发送中",
        "accepted" => "渠道已接受",
        "failed" => "发送失败",
        _ => return None,
    })
}

pub(super) fn execution(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "未结束",
        "queued" => "排队中",
        "awaiting_approval" => "待审批",
        "running" => "执行中",
        "succeeded" => "成功",
        "no_change" => "无需更改",
        "failed" => "失败",
        "timed_out" => "执行超时",
        "resource_exceeded" => "超出资源限制",
        "canceled" => "已取消",
        "unknown" => "结果未知",
        "rejected" => "审批未通过",
        "expired" => "审批超时",
        _ => return None,
    })
}

pub(super) fn application(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "未结束",
        "applying" => "申请中",
        "discover" => "查找外部审批服务",
        "create" => "提交申请",
        "find" => "查找外部工单",
        "probe" => "检查标签筛选是否生效",
        "verify" => "核实回调",
        "confirm" => "读取审批结果",
        "poll" => "等待审批结果",
        "withdraw" => "撤销外部工单",
        "withdrawn" => "已撤销",
        "expired" => "申请已过期",
        "succeeded" => "已有审批结果",
        "granted" => "已批准",
        "refused" => "已拒绝",
        "failed" => "未取得审批结果",
        _ => return None,
    })
}

/// The problem of an application whose callback had an invalid token.
pub(super) const TOKEN_ILLEGAL: &str =
    "CollectItsmTokenIllega：回调的 token 验证失败，该 token 不是由外部 ITSM 签发的";

/// Returns the reason why a person could not apply for an approval.
pub(super) fn not_applied(reason: &NotApplied) -> String {
    match reason {
        NotApplied::HasApply(_) => "该对象已有审批中或已批准的申请，不能重复申请".into(),
        NotApplied::NotExists(_) => "申请类型或对应的外部审批服务不存在".into(),
        NotApplied::SwitchedOff(kind) => format!("申请类型 {kind} 已停用"),
        NotApplied::NotASender { app, kind } => format!("应用 {app} 无权提交“{kind}”类型的申请"),
        NotApplied::Field(wrong) => format!("【{}】未填写或填写有误", wrong.key),
        NotApplied::KeyReused => "幂等键已用于另一个请求".into(),
        NotApplied::Technical(error) => error.to_string(),
    }
}

fn level(key: &str) -> &str {
    match key {
        "1" => "低",
        "2" => "中",
        "3" => "高",
        other => other,
    }
}

fn quoted(text: &str) -> String {
    format!("“{text}”")
}

fn clause(key: &str, operator: Operator, expected: &str) -> String {
    let operator = match operator {
        Operator::Equal => "等于",
        Operator::NotEqual => "不等于",
        Operator::Greater => "大于",
        Operator::Less => "小于",
        Operator::AtLeast => "大于等于",
        Operator::AtMost => "小于等于",
        Operator::Superset => "包含",
        Operator::NotSuperset => "不包含",
        Operator::In => "属于",
        Operator::NotIn => "不属于",
    };
    format!("{key} {operator}{expected}")
}

fn tested(transition: TransitionId, clause: &str, actual: &str, holds: bool) -> String {
    let (mark, result) = if holds {
        ("✓", "成立")
    } else {
        ("✗", "不成立")
    };
    format!("{mark} 流转线 {transition}：{clause}，实际值为{actual}，{result}")
}
