//! Contains the Chinese texts for the reasons why a ticket rejects a command. Each text states the problem and
//! the next step.

use domain::attachment::Unfit;
use domain::ticket::{FieldAt, Invalid, MESSAGE_MAX, REMARK_MAX, ROUNDS_MAX, Rejection, TITLE_MAX};

use super::ticket_status;
use crate::app::wording::{Names, field_name, size};

pub(in crate::app::wording) fn text(rejection: &Rejection, names: &Names<'_>) -> String {
    match rejection {
        Rejection::Exists => "工单已存在，请勿重复提交".into(),
        Rejection::Unknown => "工单不存在，请检查单号".into(),
        Rejection::ServiceUnknown(service) => {
            format!("服务 {service} 不存在，请在服务目录中重新选择")
        }
        Rejection::ServiceDisabled(service) => {
            format!("服务 {service} 已停用，请选择其他服务，或联系服务负责人")
        }
        Rejection::ServiceNotInCatalog(service) => {
            format!("服务 {service} 不在服务目录中，请联系服务负责人")
        }
        Rejection::ChosenNodeUnknown { service, node } => {
            format!("服务“{service}”的流程中没有节点 {node}，请重新指定处理人")
        }
        Rejection::ChosenProcessorsEmpty { service, node } => {
            format!("服务“{service}”的节点 {node} 没有指定处理人，请至少选择一人")
        }
        Rejection::FieldsMissing(keys) => {
            format!("缺少字段：{}，请填写后重新提交", keys.join("、"))
        }
        Rejection::FieldUnknown(key) => format!("此处没有字段“{key}”，请刷新页面后重新填写"),
        Rejection::FieldTwice(key) => format!("字段“{key}”重复，请只填写一次"),
        Rejection::FieldEmpty(at) => format!("{}为必填项，请填写", field(at)),
        Rejection::OptionUnknown(at) => format!("{}没有所填的选项，请重新选择", field(at)),
        Rejection::OptionsMissing(key) => {
            format!("字段“{key}”没有可选的选项，请联系服务负责人")
        }
        Rejection::OptionsUnavailable { at, .. } => {
            format!("暂时无法获取{}的选项，请稍后重试", field(at))
        }
        Rejection::FileUnfit { at, why } => format!("{}{}", field(at), unfit(why)),
        Rejection::ReadOnly(at) => format!("{}为只读字段，填写后不能修改", field(at)),
        Rejection::TitleTooLong => format!("标题超过 {TITLE_MAX} 个字符，请缩短"),
        Rejection::FieldInvalid {
            at,
            reason: Invalid::CustomRuleInvalid,
        } => format!(
            "{}的格式规则设置有误，无法校验，请联系服务负责人",
            field(at)
        ),
        Rejection::FieldInvalid { at, reason } => {
            format!("{}{}，请检查后重新填写", field(at), invalid(reason))
        }
        Rejection::Ended => "工单已结束，不能再操作".into(),
        Rejection::Suspended => "工单已挂起，请先恢复工单再操作".into(),
        Rejection::NodeUnknown(node) => {
            format!("工单中没有节点 {node}，请刷新页面后重试")
        }
        Rejection::NodeFinished(node) => {
            format!("节点 {node} 已处理完成，请刷新页面查看最新进展")
        }
        Rejection::NotAllowed { by, node } => format!(
            "{} 不能操作节点 {node}：不是该节点的处理人，或节点当前状态不支持此操作，请刷新页面查看",
            names.one(by)
        ),
        Rejection::UnknownPerson(person) => {
            format!("用户 {} 不存在，请检查用户名", names.one(person))
        }
        Rejection::NotClaimable(node) => {
            format!("节点 {node} 不在待认领状态，请刷新页面查看最新进展")
        }
        Rejection::NotDistributable(node) => {
            format!("节点 {node} 不在待派单状态，请刷新页面查看最新进展")
        }
        Rejection::NoProcessorGiven => "没有选择处理人，或所选角色没有成员，请重新选择".into(),
        Rejection::TargetKindNotAllowed => {
            "不支持这种选择处理人的方式，请选择人员、角色、提单人或部门".into()
        }
        Rejection::TargetsOutOfRange(people) => {
            format!("{} 不在可选的处理人范围内，请重新选择", names.all(people))
        }
        Rejection::DeliverNotAllowed(node) => {
            format!("节点【{node}】不允许转单，如需转单请联系服务负责人")
        }
        Rejection::NotDeliverable => "节点不在处理中，不能转单，请刷新页面查看最新进展".into(),
        Rejection::DeliverMessageMissing => "请填写转单说明".into(),
        Rejection::AlreadyDecided(people) => {
            format!("{} 已在该节点审批过，请选择其他人", names.all(people))
        }
        Rejection::TerminateNotAllowed(node) => {
            format!("节点【{node}】不允许终止工单，或不在处理中，如需终止请联系服务负责人")
        }
        Rejection::TerminateReasonMissing => "请填写终止原因".into(),
        Rejection::SuspendReasonMissing => "请填写挂起原因".into(),
        Rejection::MessageTooLong => format!("说明超过 {MESSAGE_MAX} 个字符，请缩短"),
        Rejection::ReasonTooLong => format!("审批意见超过 {REMARK_MAX} 个字符，请缩短"),
        Rejection::NotAllowedOnTicket(by) => {
            format!("{} 没有权限操作该工单，请联系服务负责人", names.one(by))
        }
        Rejection::NotInProcess => "工单不在处理中，不能执行此操作，请刷新页面查看工单状态".into(),
        Rejection::NotSuspended => "工单没有挂起，无需恢复，请刷新页面查看工单状态".into(),
        Rejection::NotTheCreator => "只有提单人可以撤销工单，请联系提单人".into(),
        Rejection::NotRevocable => "该流程不允许撤销工单，请联系服务负责人".into(),
        Rejection::AlreadyEnded => "工单已结束，不能撤销".into(),
        Rejection::HandledAlready => {
            "工单已开始处理，不能撤销，如需结束请联系服务负责人终止工单".into()
        }
        Rejection::TooManyRounds(node) => {
            format!("节点 {node} 已执行 {ROUNDS_MAX} 次，达到上限，请联系服务负责人检查流程")
        }
        Rejection::NotImported => {
            "该工单由本系统创建，不能导入其他系统的记录，请检查导入的单号".into()
        }
        Rejection::IsChild => "该工单是子单，不能单独操作，请在母单中处理，或先解除母子关系".into(),
        Rejection::NotFailed(node) => {
            format!("节点【{node}】没有异常，无需处理异常，请刷新页面查看最新进展")
        }
        Rejection::TransitionUnknown { transition, node } => {
            format!("节点 {node} 之后没有流转线 {transition}，请重新选择")
        }
        Rejection::NotAnApproval(node) => {
            format!("节点 {node} 不是处理中的审批节点，请刷新页面查看最新进展")
        }
        Rejection::ResultNotExpected => "节点已不再等待该执行结果，请刷新页面查看最新进展".into(),
        Rejection::NotAllowedToSee(person) => format!(
            "{} 没有权限查看该工单，请联系提单人添加关注人",
            names.one(person)
        ),
        Rejection::MayNotRemind(person) => format!(
            "{} 不能督办该工单，只有提单人和流程指定的督办人可以督办",
            names.one(person)
        ),
        Rejection::RemindingOff => "该流程没有启用督办，请联系服务负责人".into(),
        Rejection::NotAnEnd(status) => {
            let status = ticket_status(status).unwrap_or(status);
            format!("状态“{status}”不能结束工单，请选择已完成、已终止或已撤销")
        }
        Rejection::TextUnfit(most) => format!("内容不能为空，也不能超过 {most} 个字符"),
        Rejection::RemarkUnknown(id) => format!("没有第 {id} 条评论，请刷新页面后重新回复"),
        Rejection::TooMany(most) => format!("数量超过上限，最多允许 {most} 个"),
        Rejection::NotFinished => "工单尚未完成，请在工单完成后评价".into(),
        Rejection::RatedAlready => "工单已评价，不能重复评价".into(),
        Rejection::NotTheRater => "只有提单人或代提单人可以评价工单".into(),
        Rejection::StarsUnfit(stars) => format!("不能评为 {stars} 星，请选择 1 到 5 星"),
        Rejection::LinkedWithItself => "工单不能与自己关联，请填写其他单号".into(),
        Rejection::LinkedAlready(other) => {
            format!("工单已与 {other} 关联，如需更改请先解除该关联")
        }
        Rejection::NotLinked(other) => format!("工单没有与 {other} 关联，无需解除"),
        Rejection::MayNotSubmit { by, node } => format!(
            "{} 没有权限在节点【{node}】提单，请联系服务负责人",
            names.one(by)
        ),
        Rejection::NotEscalatable(node) => {
            format!("节点【{node}】不能升级：任何人都可以处理，或每位审批人都要审批")
        }
        Rejection::NoEscalationTarget => {
            "无法升级：处理人没有上级，服务也没有其他负责人，请联系管理员".into()
        }
        Rejection::NotEditable(key) => format!("字段“{key}”在当前阶段不能修改"),
        Rejection::NoAgency => "该服务不支持代提单，请由申请人本人提单".into(),
    }
}

fn field(at: &FieldAt) -> String {
    format!("字段“{}”", field_name(at))
}

fn unfit(why: &Unfit) -> String {
    match why {
        Unfit::NotUploaded => "只接受已上传的文件，请先上传文件".into(),
        Unfit::TooMany(most) => format!("最多允许 {most} 个文件，请删除多余的文件"),
        Unfit::NotHere(file) => format!("中的文件 {file} 不存在，或已属于其他工单，请重新上传"),
        Unfit::Type {
            accept,
            name,
            media_type,
        } => {
            let accept = accept.join("、");
            format!("只接受 {accept} 类型的文件，“{name}”的类型是 {media_type}，请重新上传")
        }
        Unfit::TooLarge { most, name, bytes } => {
            let (most, bytes) = (size(*most, false), size(*bytes, true));
            format!("的文件不能超过 {most}，“{name}”的大小是 {bytes}，请重新上传")
        }
    }
}

/// Returns a text about the reason why a field value is not valid.
fn invalid(reason: &Invalid) -> String {
    match reason {
        Invalid::NotRows => "应为表格数据".into(),
        Invalid::NotAText => "应为文本".into(),
        Invalid::NotANumber => "应为数字".into(),
        Invalid::NotADate => "应为日期（例如 2026-01-31）".into(),
        Invalid::NotATime => "应为时间（例如 2026-01-31 09:30:00）".into(),
        Invalid::NotAFlag => "只能填写“是”或“否”".into(),
        Invalid::NotALink => "应为可以打开的网页链接".into(),
        Invalid::SeveralPeople => "只能选择一个人员".into(),
        Invalid::Comma(item) => format!("的选项“{item}”含有逗号，而逗号用于分隔多个选项"),
        Invalid::CellEmpty { row, column } => format!("第 {row} 行的“{column}”未填写"),
        Invalid::CellInvalid { row, column } => format!("第 {row} 行的“{column}”内容不符合要求"),
        Invalid::Rule(rule) => format!("应为{}", required(rule)),
        Invalid::CustomRule | Invalid::CustomRuleInvalid => "不符合该字段的格式要求".into(),
        Invalid::NotAfterNow => "必须晚于当前时间".into(),
        Invalid::NotBeforeNow => "必须早于当前时间".into(),
        Invalid::OtherFields => "与其他字段的内容不匹配".into(),
        Invalid::TooLong(most) => format!("超过 {most} 个字符"),
    }
}

/// Returns what a built-in rule for texts requires. `rule` is the name of the rule in the workflow.
fn required(rule: &str) -> &'static str {
    match rule {
        "FLOAT" => "数字",
        "NUM" => "数字",
        "NON_NEGATIVE" => "不小于 0 的数字",
        "NON_POSITIVE" => "不大于 0 的数字",
        "GTE_ZERO" => "大于 0 的数字",
        "LTE_ZERO" => "小于 0 的数字",
        "NUMWITHOUTZERO" => "不以 0 开头的正整数",
        "LOWER_EN" => "小写英文字母",
        "UPPER_EN" => "大写英文字母",
        "EN" => "英文字母",
        "EN_NUM" => "英文字母和数字",
        "CH" => "汉字",
        "EN_CH" => "汉字和英文字母",
        "EN_CH_NUM" => "汉字、英文字母和数字",
        "START_EN" => "以英文字母开头的内容",
        "EMAIL" => "邮箱地址",
        "PHONE_NUM" => "手机号码",
        "ID_CARD" => "身份证号码",
        "QQ" => "QQ 号",
        "IP" => "IP 地址",
        _ => "符合格式要求的内容",
    }
}
