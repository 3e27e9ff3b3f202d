//! Explains for each event of a ticket why a person got a notification or got none. The explanation is computed from the
//! events of the ticket with the same functions as the notifications, and nothing is stored for it.

use std::collections::BTreeSet;

use domain::notification::announced::SILENT;
use domain::notification::recipients::{Audience, interested, is_own_action, processors};
use domain::notification::subscription::occasion;
use domain::ticket::Ticket;
use domain::views::ticket_card::TicketCard;
use domain::{Decider as _, Envelope};
use events::notification::{Fact, Role};
use events::person::Language;
use events::ticket::TicketEvent;
use events::{Event as _, Moment, PersonId, TicketSn};
use infra::Error;

use super::definitions::DEFAULT_POLICY;
use super::message::wording;
use super::notify::policy_since;
use super::subscribers::occasions_of;
use super::{own_subscriptions, unreached_person, work_notices};
use crate::App;
use crate::app::tickets::{self, history};

/// Maximum number of events in one explanation. If a ticket has more events, the explanation contains the newest ones.
pub const EVENTS_MAX: usize = 500;

/// The reason why a person got a notification about one event, or got none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Notified {
        fact: Fact,
        role: Role,
    },
    /// The person caused the event.
    OwnAction,
    /// The event notifies other people only.
    NoRelation,
    /// Events of this type notify no person. The text is the reason.
    Silent(&'static str),
    /// The request of the ticket switched the notification off. The text is the member of `notify_config`.
    SwitchedOff(&'static str),
    /// The workflow of the ticket notifies no person of the work at its nodes.
    SilentWorkflow,
    /// The desk had no notification policy at the time of the event, or has none now.
    NoPolicy,
}

/// The explanation of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub at: Moment,
    /// The type of the event, such as `ticket.suspended`.
    pub event: String,
    pub reason: Reason,
}

/// Returns the explanation of the newest events of the ticket with the given stream, from the oldest to the newest.
pub async fn explain(app: &App, stream: &str, person: &PersonId) -> Result<Vec<Explained>, Error> {
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let is_operator = unreached_person::is_operator(app, person).await?;
    let since = match &policy.0 {
        Some(_) => policy_since(app).await?,
        None => None,
    };
    let has_policy = |at: Moment| since.is_some_and(|since| at >= since);
    let card = card(app, stream).await?;
    let (mut subscribed, mut own) = (BTreeSet::new(), BTreeSet::new());
    if let (Some(policy), Some(card)) = (&policy.0, &card) {
        subscribed = occasions_of(app, policy, card, person).await?;
        own = own_subscriptions::occasions_of(app, card, person).await?;
    }
    let mut ticket = Ticket::default();
    let mut is_silent = None;
    let mut all = Vec::new();
    for envelope in history(&app.ledger, stream).await? {
        ticket.evolve(&envelope.event);
        // The workflow version of a ticket never changes.
        if is_silent.is_none()
            && let Some(deployed) = work_notices::workflow(app, &ticket).await?
        {
            is_silent = Some(work_notices::is_silent(&deployed));
        }
        let reason = match reason(&envelope, &ticket, person, is_operator) {
            Reason::Notified { .. } if !has_policy(envelope.happened_at()) => Reason::NoPolicy,
            Reason::Notified { fact, .. }
                if is_silent == Some(true) && work_notices::is_about_work(fact) =>
            {
                Reason::SilentWorkflow
            }
            Reason::NoRelation
                if has_policy(envelope.happened_at())
                    && occasion(&envelope.event).is_some_and(|one| subscribed.contains(&one)) =>
            {
                Reason::Notified {
                    fact: Fact::Subscribed,
                    role: Role::Subscriber,
                }
            }
            Reason::NoRelation
                if has_policy(envelope.happened_at())
                    && occasion(&envelope.event).is_some_and(|one| own.contains(&one)) =>
            {
                Reason::Notified {
                    fact: Fact::Subscribed,
                    role: Role::OwnSubscriber,
                }
            }
            reason => reason,
        };
        all.push(Explained {
            at: envelope.happened_at(),
            event: envelope.event.kind().to_owned(),
            reason,
        });
    }
    Ok(all.split_off(all.len().saturating_sub(EVENTS_MAX)))
}

/// Returns the card (the stored summary) of the ticket with the given stream.
async fn card(app: &App, stream: &str) -> Result<Option<TicketCard>, Error> {
    match stream.strip_prefix("ticket-").map(TicketSn::from) {
        Some(sn) => tickets::card(app, &sn).await,
        None => Ok(None),
    }
}

/// Returns the reason for one event. `ticket` is the state of the ticket after the event.
fn reason(
    envelope: &Envelope<TicketEvent>,
    ticket: &Ticket,
    person: &PersonId,
    is_operator: bool,
) -> Reason {
    let event = &envelope.event;
    if let Some((fact, role)) = found(event, ticket, person, is_operator) {
        // Operators get notifications also about their own actions.
        let is_own = role != Role::Operator && is_own_action(person, &envelope.meta.actor);
        return if is_own {
            Reason::OwnAction
        } else {
            Reason::Notified { fact, role }
        };
    }
    let kind = event.kind();
    let mut silent = SILENT.iter();
    if let Some((why, _)) = silent.find(|(_, kinds)| kinds.contains(&kind)) {
        return Reason::Silent(why);
    }
    for member in ["enable_follow_notify", "enable_finished_notify"] {
        if found(event, &without(ticket, member), person, is_operator).is_some() {
            return if is_own_action(person, &envelope.meta.actor) {
                Reason::OwnAction
            } else {
                Reason::SwitchedOff(member)
            };
        }
    }
    if is_own_action(person, &envelope.meta.actor) {
        Reason::OwnAction
    } else {
        Reason::NoRelation
    }
}

/// Returns the fact and the role with which an event concerns the person. Returns `None` if it does not concern the
/// person.
fn found(
    event: &TicketEvent,
    ticket: &Ticket,
    person: &PersonId,
    is_operator: bool,
) -> Option<(Fact, Role)> {
    let of = |audience: Audience| {
        let operators = audience.operators.filter(|_| is_operator);
        let mut people = audience.people.into_iter();
        let own = people.find(|one| one.person == *person);
        own.map(|one| (one.fact, one.role))
            .or_else(|| operators.map(|fact| (fact, Role::Operator)))
    };
    of(processors(event, ticket)).or_else(|| of(interested(event, ticket)))
}

/// Returns the ticket without one member of its `notify_config`.
fn without(ticket: &Ticket, member: &str) -> Ticket {
    let mut ticket = ticket.clone();
    let opened = ticket.opened.as_mut();
    let config = opened.and_then(|opened| opened.notify_config.as_object_mut());
    if let Some(config) = config {
        config.remove(member);
    }
    ticket
}

/// Returns the text of a reason in the given language.
pub fn text(reason: Reason, language: Language) -> String {
    let (chinese, english) = match reason {
        Reason::Notified { fact, role } => {
            let (chinese, english) = role_words(role);
            (
                format!(
                    "已通知：{}。{chinese}。",
                    wording(fact, Language::Chinese).0
                ),
                format!(
                    "Notified: {}. {english}.",
                    wording(fact, Language::English).0
                ),
            )
        }
        Reason::OwnAction => (
            "未通知：事件由此人自己引起。".to_owned(),
            "Not notified: the person caused the event.".to_owned(),
        ),
        Reason::NoRelation => (
            "未通知：该事件只通知其他人。".to_owned(),
            "Not notified: the event concerns other people only.".to_owned(),
        ),
        Reason::Silent(why) => (
            format!("未通知：{}。", silent_words(why)),
            format!("Not notified: {why}."),
        ),
        Reason::SwitchedOff(member) => (
            format!("未通知：提单时通过 notify_config.{member} 关闭了此通知。"),
            format!("Not notified: `notify_config.{member}` of the request switches it off."),
        ),
        Reason::SilentWorkflow => (
            "未通知：流程不通知节点的处理人（notify_rule 为 NONE）。".to_owned(),
            "Not notified: the workflow notifies no person of the work at its nodes (`notify_rule` is `NONE`).".to_owned(),
        ),
        Reason::NoPolicy => (
            "未通知：服务台当时或现在没有通知策略。".to_owned(),
            "Not notified: the desk had no notification policy at this time, or has none now."
                .to_owned(),
        ),
    };
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

fn role_words(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Processor => ("此人是处理人", "The ticket waits for this person"),
        Role::Requester => (
            "此人是提单人",
            "This person opened the ticket, or it was opened for this person",
        ),
        Role::Follower => ("此人关注该工单", "This person follows the ticket"),
        Role::Mentioned => ("评论提到此人", "A comment mentions this person"),
        Role::Operator => (
            "通知策略将此人列为运维人员",
            "The notification policy names this person as an operator",
        ),
        Role::OnCall => (
            "此人正在值班，或升级链指定了此人",
            "This person is on call, or an escalation chain names this person",
        ),
        Role::Approver => (
            "此人可以批准脚本的执行",
            "This person may approve the execution of a script",
        ),
        Role::Subscriber => (
            "通知策略的订阅包含此人",
            "A subscription of the notification policy names this person",
        ),
        Role::OwnSubscriber => ("此人创建了订阅", "This person made a subscription"),
    }
}

/// Returns the Chinese text of a reason in [`SILENT`] that concerns tickets.
fn silent_words(why: &str) -> &str {
    if why.starts_with("a claim or a withdrawal") {
        "受理和撤单不通知任何人"
    } else if why.starts_with("the next node") {
        "由下一个节点或工单结束发出通知"
    } else if why.starts_with("no person must act") {
        "无需任何人处理，可在工单中查看"
    } else if why.starts_with("imported rows") {
        "导入的数据是历史记录"
    } else {
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_silent_ticket_event_has_a_chinese_reason() {
        let of_tickets = SILENT.iter().filter(|(_, kinds)| {
            let mut kinds = kinds.iter();
            kinds.any(|kind| kind.starts_with("ticket."))
        });
        for (why, _) in of_tickets {
            assert_ne!(silent_words(why), *why);
        }
    }
}
