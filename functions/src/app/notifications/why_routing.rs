//! Explains how the accounts of a notification were chosen, and what a digest did with the notification. The texts are in
//! Chinese or English.

use events::Moment;
use events::delivery::BounceKind;
use events::digest::DigestEvent;
use events::experiment::{Assignment, Variant};
use events::notification::{Bounced, Clause, Computed, Mode, NotRepeated, Route, Routed, Strategy};
use events::person::Language;
use jiff::tz::TimeZone;

use crate::app::times;

fn pick(language: Language, chinese: String, english: String) -> String {
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

fn time(at: Moment, zone: &TimeZone) -> String {
    let text = times::in_zone(at, zone);
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// Returns a sentence about an accepted message that came back. `due` is the time of the next message.
pub(super) fn of_bounce(bounced: &Bounced, language: Language, due: Option<&str>) -> String {
    let account = &bounced.account;
    let next = match (due, bounced.not_repeated) {
        (Some(due), _) => (
            format!("将于 {due} 由下一个备用渠道账号发送"),
            format!("the next account of the fallback list sends it at {due}"),
        ),
        (None, Some(NotRepeated::OtherAccepted)) => (
            "其他渠道账号已接受消息".to_owned(),
            "another account has accepted it".to_owned(),
        ),
        (None, Some(NotRepeated::OtherOpen)) => (
            "其他渠道账号的消息仍在发送".to_owned(),
            "the message of another account is still being sent".to_owned(),
        ),
        (None, Some(NotRepeated::Repeated)) => (
            "这是第二次退回，不再发送；通知留在收件箱，并已告知运维人员".to_owned(),
            "it is the second one, so no further account sends it: it stays in the inbox, and the operators are informed".to_owned(),
        ),
        (None, Some(NotRepeated::NotNeeded)) => (
            "已不再需要该消息，不再发送".to_owned(),
            "it is not needed any more, so no further account sends it".to_owned(),
        ),
        (None, Some(NotRepeated::TooOld)) => (
            "信息已过时，不再发送".to_owned(),
            "its information is too old, so no further account sends it".to_owned(),
        ),
        (None, Some(NotRepeated::NoAccount) | None) => (
            "没有其他备用渠道账号".to_owned(),
            "the fallback list has no further account".to_owned(),
        ),
    };
    let (chinese, english) = match bounced.kind {
        BounceKind::Bounce => (
            format!("渠道账号 {account} 的消息被退回；"),
            format!("The message of the account {account} came back; "),
        ),
        BounceKind::Complaint => (
            format!("收件人不接受渠道账号 {account} 的消息；"),
            format!("The person does not want the message of the account {account}; "),
        ),
    };
    pick(
        language,
        format!("{chinese}{}。", next.0),
        format!("{english}{}.", next.1),
    )
}

/// Returns the streams of the digests that collect a notification.
pub(super) fn digests(routed: &Routed) -> Vec<String> {
    let routes = routed.routes.iter();
    routes
        .filter_map(|route| match &route.mode {
            Mode::Immediate => None,
            Mode::Digest { digest, .. } => Some(digest.clone()),
        })
        .collect()
}

/// Returns a sentence about an account that a preference, the policy or a digest concerns. For any other account, returns
/// an empty text.
pub(super) fn of_route(route: &Route, language: Language, zone: &TimeZone) -> String {
    let account = &route.account;
    let how = match &route.mode {
        Mode::Immediate => return of_clause(route.clause, language),
        Mode::Digest { due, waits, .. } => {
            let due = time(*due, zone);
            let (chinese, english) = if *waits {
                (
                    format!("{account} 的通知合并发送，最迟 {due}。"),
                    format!(" A digest of {account} collects the notification until {due}."),
                )
            } else {
                (
                    format!("{account} 的同类通知在 {due} 前合并发送。"),
                    format!(" A digest of {account} collects similar notifications until {due}."),
                )
            };
            pick(language, chinese, english)
        }
    };
    format!("{how}{}", of_clause(route.clause, language))
}

/// Returns a sentence that names the preference or the clause of the policy that decided.
pub(super) fn of_clause(clause: Option<Clause>, language: Language) -> String {
    let Some(clause) = clause else {
        return String::new();
    };
    let (chinese, english) = match clause {
        Clause::Frequency => (
            "（此人的渠道偏好）".to_owned(),
            " (The person chose the frequency of the channel.)".to_owned(),
        ),
        Clause::Categories => (
            "（此人的分类偏好）".to_owned(),
            " (The person chose the categories of the channel.)".to_owned(),
        ),
        Clause::Team => (
            "（此人所在部门的默认设置）".to_owned(),
            " (The default of a department of the person.)".to_owned(),
        ),
        Clause::Cap { rule } => (
            format!("（通知策略第 {rule} 条规则的上限）"),
            format!(" (Rule {rule} of the policy limits the frequency.)"),
        ),
        Clause::Floor { rule } => (
            format!("（通知策略第 {rule} 条规则的下限）"),
            format!(" (Rule {rule} of the policy raises the frequency.)"),
        ),
        Clause::Strategy => (
            "（由计算出的优先级决定）".to_owned(),
            " (The computed priority decides this.)".to_owned(),
        ),
        Clause::Collected => (
            "（评论和状态更新默认合并）".to_owned(),
            " (Comments and updates are collected by default.)".to_owned(),
        ),
        Clause::Many { count } => (
            format!("（10 分钟内有 {count} 条通知）"),
            format!(" (The person got {count} notifications within 10 minutes.)"),
        ),
        Clause::Learned { sent, answered } => (
            format!(
                "（此人通过该账号回应了 {sent} 条消息中的 {answered} 条，多于其他账号，因此先用该账号，失败时再用其他账号）"
            ),
            format!(
                " (The person answered {answered} of {sent} messages of this account, more than of the others, so the others send only if it fails.)"
            ),
        ),
    };
    pick(language, chinese, english)
}

/// Returns a sentence with the factors of the computed priority. For an old notification without these factors, returns
/// an empty text.
pub(super) fn of_priority(computed: Option<Computed>, language: Language) -> String {
    let Some(computed) = computed else {
        return String::new();
    };
    let Computed {
        band,
        base,
        impact,
        time,
        role,
        score,
        strategy,
    } = computed;
    let band = band.name();
    let (chinese, english) = match strategy {
        Strategy::Escalation => ("升级", "escalation"),
        Strategy::Immediate => ("立即", "immediate"),
        Strategy::Standard => ("标准", "standard"),
        Strategy::Batch => ("批量", "batch"),
    };
    let factors = format!("{base} × {impact}% × {time}% × {role}% = {score}");
    pick(
        language,
        format!("优先级：{factors}（{band}），策略：{chinese}。"),
        format!(" Priority: {factors} ({band}), strategy {english}."),
    )
}

/// Returns a sentence about the experiment that decided the time of the message. Returns an empty text without an experiment.
pub(super) fn of_experiment(assignment: Option<&Assignment>, language: Language) -> String {
    let Some(assignment) = assignment else {
        return String::new();
    };
    let (chinese, english) = match assignment.variant {
        Variant::Immediate => ("立即发送", "send at once"),
        Variant::Delayed => ("延后 15 分钟发送", "send 15 minutes later"),
        Variant::Smart => (
            "在此人通常处理通知的时段发送",
            "send at the hours at which the person answers",
        ),
    };
    let id = assignment.experiment.trim_start_matches("experiment-");
    match (id, assignment.is_applied) {
        ("", _) => pick(
            language,
            format!("通知策略允许学习发送时间：{chinese}。"),
            format!(" The policy allows learned times: {english}."),
        ),
        (id, true) => pick(
            language,
            format!("实验 {id} 的结果适用于所有人：{chinese}。"),
            format!(" The result of the experiment {id} applies to all people: {english}."),
        ),
        (id, false) => pick(
            language,
            format!("此人参加实验 {id}，方案：{chinese}。"),
            format!(" The person takes part in the experiment {id}: {english}."),
        ),
    }
}

/// Returns a sentence about an event of a digest that concerns the notification with the stream `notification`. Returns
/// `None` if the event does not concern it.
pub(super) fn of_digest(
    event: &DigestEvent,
    notification: &str,
    language: Language,
    zone: &TimeZone,
) -> Option<String> {
    let (chinese, english) = match event {
        DigestEvent::Passed(passed) if passed.item.notification == notification => (
            "第一条通知立即发送，随后的同类通知合并发送。".to_owned(),
            "The first notification is sent at once. Similar notifications are collected."
                .to_owned(),
        ),
        DigestEvent::Added(added) if added.item.notification == notification => {
            let due = time(added.due, zone);
            (
                format!("通知已加入合并消息，最迟 {due} 发送。"),
                format!("The digest collects the notification until {due}."),
            )
        }
        DigestEvent::ItemsDropped(dropped)
            if dropped.notifications.iter().any(|one| one == notification) =>
        {
            let reason = &dropped.reason;
            (
                format!("通知未发送，仅在收件箱中显示（{reason}）。"),
                format!("The notification is not sent: {reason}. The inbox shows it."),
            )
        }
        DigestEvent::Flushed(flushed)
            if flushed.notifications.iter().any(|one| one == notification) =>
        {
            let count = flushed.notifications.len();
            (
                format!("一条合并消息列出 {count} 条通知。"),
                format!("One message lists {count} notifications."),
            )
        }
        _ => return None,
    };
    Some(pick(language, chinese, english))
}

/// Returns the name of the account of an event of a digest, or an empty text.
pub(super) fn account(event: &DigestEvent) -> &str {
    match event {
        DigestEvent::Passed(passed) => &passed.account,
        DigestEvent::Added(added) => &added.account,
        DigestEvent::Flushed(flushed) => &flushed.account,
        DigestEvent::ItemsDropped(dropped) => &dropped.account,
        DigestEvent::Postponed(_) | DigestEvent::Closed(_) => "",
    }
}
