//! Explains step by step why a person got or did not get a notification. The texts are in Chinese or English.

use domain::Envelope;
use domain::notification::action::Action;
use domain::notification::delivery::Delivery;
use domain::views::Card as _;
use events::delivery::{BounceKind, Bounced, DeliveryEvent, FailureClass, Receipt};
use events::digest::DigestEvent;
use events::notification::{
    Fact, Held, HeldReason, InboxChanged, InboxState, NotificationEvent, Outcome, Requested, Role,
    SkipReason,
};
use events::person::{Language, QuietHours};
use events::{Event, Moment};
use infra::Error;
use infra::views::Range;
use jiff::tz::TimeZone;

use crate::App;
use crate::app::history::history_from;
use crate::app::notifications::message::wording;
use crate::app::notifications::notify::{NOT_AWAITED, NOT_READABLE};
use crate::app::notifications::work_notices::is_silent_workflow;
use crate::app::notifications::{progress, unreached_person, why_reasons, why_routing};
use crate::app::times;

/// Maximum number of deliveries that the explanation of one notification contains. A delivery is the sending
/// of one message by one channel account.
const DELIVERIES_MAX: usize = 100;

/// One step in the explanation of a notification. The step contains one event and a text that explains this
/// event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Moment,
    /// The type name of the event that this step explains, such as `delivery.failed`.
    pub event: String,
    /// The name of the channel account that sends the message. If the step belongs to no delivery, the text
    /// is empty.
    pub account: String,
    pub text: String,
}

/// Returns the steps of one notification and of all its deliveries, sorted by time.
pub async fn steps(
    app: &App,
    stream: &str,
    language: Language,
    zone: &TimeZone,
) -> Result<Vec<Step>, Error> {
    let words = Words { language, zone };
    let (mut steps, mut digests) = (Vec::new(), Vec::new());
    let mut recipients = unreached_person::Recipients::default();
    for envelope in history_from::<NotificationEvent>(&app.ledger, stream, 1).await? {
        // The step for the end of a delivery is omitted, because the event stream of the delivery contains
        // the same result with more details.
        if !matches!(envelope.event, NotificationEvent::DeliveryEnded(_)) {
            if let NotificationEvent::Routed(routed) = &envelope.event {
                digests.extend(why_routing::digests(routed));
            }
            let mut text = words.of_notification(&envelope.event);
            if let NotificationEvent::Requested(requested) = &envelope.event
                && let Some(name) = unreached_person::name(app, requested, &mut recipients).await?
            {
                text.push_str(&words.unreached(&name));
            }
            steps.push(step(&envelope, "", text));
        }
    }
    for digest in digests {
        for envelope in history_from::<DigestEvent>(&app.ledger, &digest, 1).await? {
            if let Some(text) = why_routing::of_digest(&envelope.event, stream, language, zone) {
                steps.push(step(&envelope, why_routing::account(&envelope.event), text));
            }
        }
    }
    for delivery in deliveries(app, stream).await? {
        let history = history_from::<DeliveryEvent>(&app.ledger, &delivery, 1).await?;
        let account = match history.first().map(|envelope| &envelope.event) {
            Some(DeliveryEvent::Requested(requested)) => requested.account.clone(),
            _ => String::new(),
        };
        for envelope in history {
            let text = words.of_delivery(&envelope.event, &account);
            steps.push(step(&envelope, &account, text));
        }
    }
    // The steps are sorted by time. If several steps have the same time, the start of the notification comes first,
    // then the deliveries, and then the end of the notification. Events of the same stream keep their order.
    steps.sort_by_key(|step| (step.at, rank(&step.event)));
    Ok(steps)
}

fn rank(event: &str) -> u8 {
    match event {
        "notification.bounced"
        | "notification.completed"
        | "notification.read"
        | "notification.acted"
        | "notification.inbox_changed"
        | "notification.outdated" => 2,
        _ if event.starts_with("delivery.") || event.starts_with("digest.") => 1,
        _ => 0,
    }
}

fn step<E: Event>(envelope: &Envelope<E>, account: &str, text: String) -> Step {
    Step {
        at: envelope.happened_at(),
        event: envelope.event.kind().to_owned(),
        account: account.to_owned(),
        text,
    }
}

/// Returns the names of the event streams of all deliveries that belong to a notification. A delivery is the
/// sending of one message by one channel account.
async fn deliveries(app: &App, notification: &str) -> Result<Vec<String>, Error> {
    let (from, to) = (format!("{notification}|"), format!("{notification}|~"));
    let range = Range {
        view: Delivery::VIEW,
        index: "notification",
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: DELIVERIES_MAX,
    };
    let entries = app.views.range(range).await?;
    Ok(entries.into_iter().map(|entry| entry.key).collect())
}

/// Returns a Chinese sentence that explains why a notification was requested.
fn chinese_cause(requested: &Requested) -> String {
    let (sn, node) = (&requested.ticket, requested.label());
    let fact = match requested.fact {
        Fact::ApprovalNeeded => return format!("工单 {sn} 的节点“{node}”等待此人审批。"),
        Fact::WorkAssigned => return format!("工单 {sn} 的节点“{node}”等待此人处理。"),
        Fact::AccountDegraded if !node.is_empty() => {
            return format!("渠道账号 {node} 的多数消息发送失败。通知策略将此人列为运维人员。");
        }
        Fact::ChainGap => {
            return format!("升级链 {node} 的某个步骤联系不到人。通知策略将此人列为运维人员。");
        }
        fact => wording(fact, Language::Chinese).0,
    };
    let role = match requested.role {
        Role::Processor => "此人是处理人",
        Role::Requester => "此人是提单人",
        Role::Follower => "此人关注该工单",
        Role::Mentioned => "评论提到此人",
        Role::Operator => "通知策略将此人列为运维人员",
        Role::OnCall => "此人正在值班，或升级链指定了此人",
        Role::Approver => "此人可以批准脚本的执行",
        Role::Subscriber => return format!("工单 {sn}：{fact}。通知策略的订阅“{node}”包含此人。"),
        Role::OwnSubscriber => return format!("工单 {sn}：{fact}。此人创建了订阅“{node}”。"),
    };
    format!("工单 {sn}：{fact}。{role}。")
}

/// Returns an English sentence that explains why a notification was requested.
fn english_cause(requested: &Requested) -> String {
    let (sn, node) = (&requested.ticket, requested.label());
    let work = match requested.fact {
        Fact::ApprovalNeeded => "approval",
        Fact::WorkAssigned => "work",
        Fact::AccountDegraded if !node.is_empty() => {
            return format!(
                "Most messages of the channel account {node} fail. The notification policy names this person as an operator."
            );
        }
        Fact::ChainGap => {
            return format!(
                "A step of the escalation chain {node} reaches no person. The notification policy names this person as an operator."
            );
        }
        fact => {
            let fact = wording(fact, Language::English).0;
            let role = match requested.role {
                Role::Processor => "The ticket waits for this person.",
                Role::Requester => {
                    "This person opened the ticket, or it was opened for this person."
                }
                Role::Follower => "This person follows the ticket.",
                Role::Mentioned => "A comment mentions this person.",
                Role::Operator => "The notification policy names this person as an operator.",
                Role::OnCall => "This person is on call, or an escalation chain names this person.",
                Role::Approver => "This person may approve the execution of a script.",
                Role::Subscriber => {
                    return format!(
                        "Ticket {sn}: {fact}. The subscription \"{node}\" of the notification policy names this person."
                    );
                }
                Role::OwnSubscriber => {
                    return format!(
                        "Ticket {sn}: {fact}. This person made the subscription \"{node}\"."
                    );
                }
            };
            return format!("Ticket {sn}: {fact}. {role}");
        }
    };
    format!("The node \"{node}\" of ticket {sn} waits for the {work} of this person.")
}

/// Writes the texts that explain a notification, in one language and with times in one time zone.
struct Words<'a> {
    language: Language,
    zone: &'a TimeZone,
}

impl Words<'_> {
    fn pick(&self, chinese: String, english: String) -> String {
        match self.language {
            Language::Chinese => chinese,
            Language::English => english,
        }
    }

    fn time(&self, at: Moment) -> String {
        let text = times::in_zone(at, self.zone);
        text.get(..19).unwrap_or(&text).replace('T', " ")
    }

    /// Returns a sentence that names the person about whom an alarm reports.
    fn unreached(&self, name: &str) -> String {
        self.pick(
            format!("未能联系到的收件人：{name}。"),
            format!(" The recipient whom no channel reached is {name}."),
        )
    }

    fn of_notification(&self, event: &NotificationEvent) -> String {
        match event {
            NotificationEvent::Requested(requested) => {
                let (urgent_cn, urgent_en) = if requested.is_critical {
                    (
                        "策略将该优先级视为特急，因此立即发送。",
                        " The policy counts the priority as critical, so nothing holds the message.",
                    )
                } else if requested.fact == Fact::EscalationStep {
                    (
                        "升级通知不受免打扰时段和工作时间限制。",
                        " Quiet hours and working hours do not apply to escalations.",
                    )
                } else if requested.is_urgent {
                    (
                        "策略将该优先级视为紧急，因此不受免打扰时段和工作时间限制。",
                        " The policy counts the priority as urgent, so quiet hours and working hours do not apply.",
                    )
                } else {
                    ("", "")
                };
                self.pick(
                    format!("{}{urgent_cn}", chinese_cause(requested)),
                    format!("{}{urgent_en}", english_cause(requested)),
                )
            }
            NotificationEvent::Held(held) => self.held(held),
            NotificationEvent::Routed(routed) => {
                let accounts: Vec<&str> = routed
                    .routes
                    .iter()
                    .map(|route| route.account.as_str())
                    .collect();
                let mut text = if accounts.is_empty() {
                    self.pick(
                        "没有可用的渠道账号。".into(),
                        "No channel account can send.".into(),
                    )
                } else {
                    let accounts = accounts.join(", ");
                    self.pick(
                        format!("通过渠道账号 {accounts} 发送。"),
                        format!("The channel accounts {accounts} send the message."),
                    )
                };
                for skipped in &routed.skipped {
                    text.push_str(&self.skipped(&skipped.account, skipped.reason));
                    text.push_str(&why_routing::of_clause(skipped.clause, self.language));
                }
                for route in &routed.routes {
                    text.push_str(&why_routing::of_route(route, self.language, self.zone));
                }
                text.push_str(&why_routing::of_priority(routed.priority, self.language));
                let experiment = routed.experiment.as_ref();
                text.push_str(&why_routing::of_experiment(experiment, self.language));
                text
            }
            NotificationEvent::FallbackStarted(started) => {
                let account = &started.account;
                let (chinese, english) = if started.is_after_bounce {
                    ("已接受的消息被退回", "The accepted message came back")
                } else if started.is_after_failure {
                    ("其他渠道账号均发送失败", "All other accounts failed")
                } else {
                    (
                        "尚无渠道账号接受消息",
                        "No account has accepted the message in time",
                    )
                };
                self.pick(
                    format!("{chinese}，改由备用渠道账号 {account} 发送。"),
                    format!("{english}, so the account {account} of the fallback list sends it."),
                )
            }
            NotificationEvent::DeliveryEnded(ended) => self.pick(
                format!("渠道账号 {} 的投递结束。", ended.account),
                format!("The delivery of the account {} ended.", ended.account),
            ),
            NotificationEvent::Bounced(bounced) => why_routing::of_bounce(
                bounced,
                self.language,
                bounced.next.map(|next| self.time(next.due)).as_deref(),
            ),
            NotificationEvent::Completed(completed) => match completed.outcome {
                Outcome::Accepted => self.pick(
                    "至少一个渠道已接受消息。".into(),
                    "At least one channel accepted the message.".into(),
                ),
                Outcome::InboxOnly => self.pick(
                    "没有渠道接受消息，此人可在收件箱中看到通知。".into(),
                    format!(
                        "Only the inbox of the person shows the notification: {}.",
                        completed.reason
                    ),
                ),
                Outcome::NotNeeded => self.pick(
                    if is_silent_workflow(&completed.reason) {
                        "流程不通知节点的处理人（notify_rule 为 NONE），因此不发送消息。".into()
                    } else if completed.reason == NOT_AWAITED {
                        "脚本已不再等待批准，因此不发送消息。".into()
                    } else if completed.reason == NOT_READABLE {
                        "此人无权查看该工单，因此不发送消息。".into()
                    } else {
                        "工单已不再等待此人，因此不发送消息。".into()
                    },
                    format!("No message is sent: {}.", completed.reason),
                ),
            },
            NotificationEvent::Read(read) if !read.account.is_empty() => self.pick(
                format!("此人通过渠道账号 {} 的消息中的链接打开了工单。", read.account),
                format!(
                    "The person opened the ticket from the link in the message of the channel account {}.",
                    read.account
                ),
            ),
            NotificationEvent::Read(_) => self.pick(
                "此人已在收件箱中阅读通知。".into(),
                "The person read the notification in the inbox.".into(),
            ),
            NotificationEvent::InboxChanged(changed) => self.inbox_changed(changed),
            NotificationEvent::Outdated(outdated) => self.pick(
                format!(
                    "工单有新进展（{}）。",
                    progress::wording(outdated.to, None, Language::Chinese)
                ),
                format!(
                    "The work has progressed: {}.",
                    progress::wording(outdated.to, None, Language::English)
                ),
            ),
            NotificationEvent::Acted(acted) => {
                let label = |language| {
                    Action::named(&acted.action).map_or("?", |action| action.label(language))
                };
                self.pick(
                    format!("此人通过通知执行了“{}”。", label(Language::Chinese)),
                    format!(
                        "The person used the action \"{}\" of the notification.",
                        label(Language::English)
                    ),
                )
            }
        }
    }

    fn inbox_changed(&self, changed: &InboxChanged) -> String {
        let (chinese, english): (String, String) = match (changed.to, changed.until) {
            (InboxState::Unseen, _) if changed.by.is_none() => (
                "稍后提醒时间已到，通知重新出现在收件箱中".into(),
                "The snooze ended, and the inbox shows the notification again".into(),
            ),
            (InboxState::Snoozed, Some(until)) => {
                let until = self.time(until);
                (
                    format!("此人选择稍后提醒，通知隐藏到 {until}"),
                    format!("The person snoozed the notification until {until}"),
                )
            }
            (InboxState::Archived, _) => (
                "此人已归档通知".into(),
                "The person archived the notification".into(),
            ),
            (InboxState::Seen, _) => (
                "此人已在收件箱中看到通知，尚未阅读".into(),
                "The person saw the notification in the inbox and has not read it".into(),
            ),
            (InboxState::Unseen | InboxState::Read | InboxState::Snoozed, _) => (
                "此人将通知移回收件箱".into(),
                "The person moved the notification back into the inbox".into(),
            ),
        };
        self.pick(format!("{chinese}。"), format!("{english}."))
    }

    fn held(&self, held: &Held) -> String {
        let until = self.time(held.until);
        let zone = &held.zone;
        let (chinese, english) = match (held.reason(), &held.quiet) {
            (HeldReason::QuietHours, Some(QuietHours { from, to })) => (
                format!("处于免打扰时段 {from}–{to}（{zone}）"),
                format!("Quiet hours {from}–{to} ({zone}) hold"),
            ),
            (HeldReason::QuietHours, None) => ("处于免打扰时段".into(), "Quiet hours hold".into()),
            (HeldReason::DoNotDisturb, _) => (
                "此人已开启免打扰".into(),
                "The person does not want to be disturbed, which holds".into(),
            ),
            (HeldReason::NotWorking, _) => (
                format!("不在此人的工作时间内（{zone}）"),
                format!("The person does not work now ({zone}), which holds"),
            ),
            (HeldReason::InMeeting, _) => (
                "此人正在开会".into(),
                "The person has an appointment, which holds".into(),
            ),
            (HeldReason::Focused, _) => (
                "此人正在专注工作".into(),
                "The person has reserved time for work, which holds".into(),
            ),
            (HeldReason::Experiment, _) => (
                "按发送时间实验的方案延后发送".into(),
                "The variant of an experiment holds".into(),
            ),
            (HeldReason::LearnedTime, _) => (
                "此人通常在稍后的时段处理通知".into(),
                "The person usually answers at a later hour, which holds".into(),
            ),
        };
        let of_experiment = why_routing::of_experiment(held.experiment.as_ref(), self.language);
        let text = self.pick(
            format!("{chinese}，消息保留到 {until}。"),
            format!("{english} the message until {until}."),
        );
        format!("{text}{of_experiment}")
    }

    fn skipped(&self, account: &str, reason: SkipReason) -> String {
        let (chinese, english) = skip_words(reason);
        self.pick(
            format!("跳过 {account}：{chinese}。"),
            format!(" {account} is skipped: {english}."),
        )
    }

    fn of_delivery(&self, event: &DeliveryEvent, account: &str) -> String {
        match event {
            DeliveryEvent::Requested(_) => self.pick(
                format!("渠道账号 {account} 的消息已写好。"),
                format!("The message of the account {account} is written."),
            ),
            DeliveryEvent::AttemptStarted(started) => self.pick(
                format!("第 {} 次发送开始。", started.attempt),
                format!("Attempt {} starts.", started.attempt),
            ),
            DeliveryEvent::AttemptFailed(failed) => {
                let number = failed.attempt;
                let reason = why_reasons::of(&failed.reason, account, self.language);
                let due = self.time(failed.due);
                self.pick(
                    format!("第 {number} 次发送失败：{reason}。将于 {due} 重试。"),
                    format!("Attempt {number} failed: {reason}. The next attempt is at {due}."),
                )
            }
            DeliveryEvent::Postponed(postponed) => {
                let reason = why_reasons::of(&postponed.reason, account, self.language);
                let due = self.time(postponed.due);
                self.pick(
                    format!("推迟到 {due} 发送（{reason}）。"),
                    format!("The message is postponed until {due} ({reason})."),
                )
            }
            DeliveryEvent::ReceiptScheduled(scheduled) => {
                let due = self.time(scheduled.due);
                self.pick(
                    format!("将于 {due} 查询此人是否已读。"),
                    format!("The desk asks at {due} whether the person has read the message."),
                )
            }
            DeliveryEvent::ReceiptEnded(ended) => {
                let reason = &ended.reason;
                match ended.receipt {
                    Receipt::Read => self.pick(
                        "服务方报告：此人已读。".into(),
                        "The provider reports that the person has read the message.".into(),
                    ),
                    Receipt::Undelivered => self.pick(
                        format!("服务方报告：消息未送达（{reason}）。"),
                        format!(
                            "The provider reports that it did not deliver the message ({reason})."
                        ),
                    ),
                    Receipt::Missing => self.pick(
                        "服务方没有报告此人已读。".into(),
                        "The provider did not report that the person has read the message.".into(),
                    ),
                }
            }
            DeliveryEvent::UpdateRequested(requested) => self.pick(
                format!(
                    "将更新已发送的消息（{}）。",
                    progress::wording(requested.to, None, Language::Chinese)
                ),
                format!(
                    "The sent message will be updated: {}.",
                    progress::wording(requested.to, None, Language::English)
                ),
            ),
            DeliveryEvent::UpdateFailed(failed) => {
                let (number, reason) = (failed.attempt, &failed.reason);
                let (chinese, english) = match failed.due.map(|due| self.time(due)) {
                    Some(due) => (
                        format!("，将于 {due} 重试"),
                        format!(" The next attempt is at {due}."),
                    ),
                    None => (
                        "，消息保持不变".to_owned(),
                        " The message stays as it is.".to_owned(),
                    ),
                };
                self.pick(
                    format!("第 {number} 次更新失败：{reason}{chinese}。"),
                    format!("Attempt {number} to update the message failed: {reason}.{english}"),
                )
            }
            DeliveryEvent::Updated(updated) => self.pick(
                format!(
                    "已发送的消息已更新（{}）。",
                    progress::wording(updated.to, None, Language::Chinese)
                ),
                format!(
                    "The sent message was updated: {}.",
                    progress::wording(updated.to, None, Language::English)
                ),
            ),
            DeliveryEvent::Succeeded(succeeded) => self.pick(
                format!("服务方已接受消息（代码 {}）。", succeeded.code),
                format!(
                    "The provider accepted the message (code {}).",
                    succeeded.code
                ),
            ),
            DeliveryEvent::Failed(failed) => {
                let (chinese, english) = if why_reasons::is_missing_secret(&failed.reason, account)
                {
                    ("渠道账号没有密钥", "the account has no secret")
                } else {
                    class(failed.class)
                };
                let shown = spaced(&failed.code);
                let reason = why_reasons::of(&failed.reason, account, self.language);
                self.pick(
                    format!("发送失败，不再重试（{chinese}{shown}）：{reason}。"),
                    format!(
                        "The message was not sent and is not repeated ({english}{shown}): {reason}."
                    ),
                )
            }
            DeliveryEvent::Bounced(bounced) => self.bounced(bounced),
            DeliveryEvent::Buzzed(buzzed) => match buzzed.class {
                None => self.pick(
                    "服务方已将消息设为加急，会在此人的设备上响铃。".into(),
                    "The provider made the message urgent, so it makes a sound on the device of the person."
                        .into(),
                ),
                Some(failed) => {
                    let ((chinese, english), shown) = (class(failed), spaced(&buzzed.code));
                    let reason = &buzzed.reason;
                    self.pick(
                        format!("消息未能设为加急（{chinese}{shown}）：{reason}。"),
                        format!("The message was not made urgent ({english}{shown}): {reason}."),
                    )
                }
            },
        }
    }
}

impl Words<'_> {
    fn bounced(&self, bounced: &Bounced) -> String {
        let (code, reason) = (spaced(&bounced.code), &bounced.reason);
        match bounced.kind {
            BounceKind::Bounce => {
                let (chinese, english) = class(bounced.class);
                self.pick(
                    format!("消息被退回（{chinese}{code}）：{reason}。"),
                    format!("The message came back ({english}{code}): {reason}."),
                )
            }
            BounceKind::Complaint => self.pick(
                format!("收件人将消息标记为垃圾邮件：{reason}。"),
                format!("The recipient marked the message as unwanted: {reason}."),
            ),
        }
    }
}

/// Returns a code after a space. Returns an empty text without a code.
fn spaced(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" {code}")
    }
}

/// Returns the display name of a class of failures, such as `rate limit`. The first text is Chinese, and the
/// second text is English.
fn class(class: FailureClass) -> (&'static str, &'static str) {
    match class {
        FailureClass::Transient => ("暂时无法发送", "temporary failure"),
        FailureClass::Throttled => ("频率限制", "rate limit"),
        FailureClass::Permanent => ("服务方拒绝", "refused by the provider"),
        FailureClass::RecipientInvalid => ("地址无效", "wrong address"),
        FailureClass::Credential => (
            "服务方拒绝了账号的凭证或签名",
            "refused credentials or signature",
        ),
        FailureClass::TooLarge => ("消息过大", "message too large"),
        FailureClass::Unknown => ("结果未知", "unknown result"),
    }
}

/// Returns the reason why an account sends no message, in Chinese and in English.
pub(super) fn skip_words(reason: SkipReason) -> (&'static str, &'static str) {
    match reason {
        SkipReason::NoAddress => (
            "此人没有该渠道的地址",
            "the person has no address for this channel",
        ),
        SkipReason::Disabled => ("账号已停用", "the account is switched off"),
        SkipReason::NotDefined => ("账号未定义", "the account is not defined"),
        SkipReason::ChannelOff => ("此人关闭了该渠道", "the person switched the channel off"),
        SkipReason::CategoryOff => (
            "此人不接收该渠道的此类通知",
            "the person does not want this category on the channel",
        ),
        SkipReason::Capped => ("通知策略不允许发送", "the policy allows no message"),
        SkipReason::Suppressed => (
            "服务方报告该地址无效，请修改或恢复该地址",
            "a provider reported that the address is wrong; change it or release it",
        ),
        SkipReason::Degraded => (
            "该消息报告此账号发送失败",
            "the message reports that this account fails",
        ),
        SkipReason::Perished => (
            "此消息本应推迟发送，而通知策略不推迟此类消息",
            "the message would be held, and the policy drops such messages instead",
        ),
    }
}
