//! Writes a notification as the event document of the requirements (requirements/notifications.md, 通知事件模型). The
//! document is computed from the events of the notification and from the ticket, and nothing is stored for it.
//!
//! The id of an event has the running number of the local day on which the notification was created, in the time zone that
//! the desk had then. The day in the id is computed from the current zone of the desk. If an operator changes the zone, ids of
//! notifications near midnight can therefore show another day, and two of them can become equal. The number stays.

use std::collections::BTreeMap;

use domain::views::ticket_card::TicketCard;
use events::Moment;
use events::notification::{
    Fact, Matter, Mode, NotRepeated, NotificationEvent, Outcome, Requested, SkipReason,
};
use events::person::Language;
use infra::Error;
use serde_json::{Map, Value, json};

use super::templates::values::{Source, values};
use super::ticket_context::TicketContext;
use crate::App;
use crate::app::history::history_from;
use crate::app::times;

/// The name of the inbox among the channels.
const IN_APP: &str = "in_app";

/// The state of the messages of one channel. If several accounts belong to a channel, the highest state counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Skipped,
    Failed,
    Pending,
    Sent,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Pending => "pending",
            Self::Sent => "sent",
        }
    }
}

/// The state of one channel, with its time and its reason. The reason is empty after a success.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Status {
    state: State,
    at: Option<Moment>,
    reason: String,
}

/// Returns the document of the notification with the given stream. Returns `None` if the notification does not exist.
/// `card` is the ticket. It is absent if the caller may not read the ticket, and the document then contains only its
/// number.
pub async fn document(
    app: &App,
    stream: &str,
    card: Option<&TicketCard>,
) -> Result<Option<Value>, Error> {
    let history = history_from::<NotificationEvent>(&app.ledger, stream, 1).await?;
    let mut requested = None;
    let mut statuses = BTreeMap::new();
    for envelope in &history {
        if let NotificationEvent::Requested(one) = &envelope.event {
            requested = Some(one);
        }
        apply(app, &mut statuses, &envelope.event, envelope.happened_at()).await?;
    }
    let Some(requested) = requested else {
        return Ok(None);
    };
    let card = card.filter(|_| requested.fact.concerns_ticket());
    let time = |at: Moment| times::in_zone(at, &app.settings.zone);
    let delivery_status: Map<String, Value> = statuses
        .into_iter()
        .map(|(channel, status)| {
            let mut shown = json!({ "status": status.state.name() });
            if let Some(at) = status.at {
                shown["timestamp"] = time(at).into();
            }
            if !status.reason.is_empty() {
                shown["reason"] = status.reason.into();
            }
            (channel, shown)
        })
        .collect();
    Ok(Some(json!({
        "event_id": event_id(requested.number, stream, &time(requested.at)),
        "event_type": event_type(requested.fact),
        "timestamp": time(requested.at),
        "source": "ITSM Platform",
        "target_users": [app.people.name(&requested.person).await?],
        "content": content(app, requested, card).await?,
        "context": card.map_or_else(|| json!({}), context),
        "delivery_status": delivery_status,
    })))
}

/// Returns the id of the event, such as `notif-20260906-001`. `time` begins with the local day. The last part is the
/// running number of the notification on this day. A notification without such a number has a number that is computed from
/// its id, such as `notif-20260906-281474976710655`. The same notification always has the same id, unless the time zone of the
/// desk changes.
fn event_id(number: Option<i64>, stream: &str, time: &str) -> String {
    let day: String = time.chars().take(10).filter(char::is_ascii_digit).collect();
    let Some(number) = number else {
        let mut hash = [0; 8];
        hash[2..].copy_from_slice(&blake3::hash(stream.as_bytes()).as_bytes()[..6]);
        return format!("notif-{day}-{:03}", u64::from_be_bytes(hash));
    };
    format!("notif-{day}-{number:03}")
}

/// Returns the type of the event in the words of the requirements. A fact without such a word has its own name.
fn event_type(fact: Fact) -> String {
    let known = match fact {
        Fact::WorkAssigned => "ticket_assigned",
        Fact::Finished | Fact::RatingInvited => "ticket_resolved",
        Fact::Escalated | Fact::EscalationStep => "ticket_escalated",
        Fact::Commented => "ticket_commented",
        Fact::Progressed | Fact::Changed => "ticket_updated",
        fact => return format!("ticket_{}", super::templates::key_of(fact)),
    };
    known.to_owned()
}

/// Returns the values of the ticket, or the name of the channel account or of the escalation chain. Encrypted values and the values of confidential
/// tickets are absent.
async fn content(
    app: &App,
    requested: &Requested,
    card: Option<&TicketCard>,
) -> Result<Value, Error> {
    let mut content = match requested.fact.matter() {
        Matter::Ticket => json!({ "ticket_id": requested.ticket.0 }),
        Matter::Account => return Ok(json!({ "account": requested.name })),
        Matter::Chain => return Ok(json!({ "chain": requested.name })),
    };
    let is_confidential = |card: &&TicketCard| {
        let opened = card.ticket.opened.as_ref();
        opened.is_none_or(|opened| opened.seals_text)
    };
    let Some(card) = card.filter(|card| !is_confidential(card)) else {
        return Ok(content);
    };
    let source = Source {
        ticket: &requested.ticket,
        card,
        person: &requested.person,
        node: requested.label(),
        priority: &requested.priority,
        language: Language::Chinese,
        zone: &app.settings.zone,
    };
    let values = values(app, source).await?;
    for (member, variable) in [
        ("ticket_title", "ticket.title"),
        ("priority", "ticket.priority"),
        ("description", "ticket.description"),
    ] {
        if let Some(value) = values.get(variable) {
            content[member] = value.clone().into();
        }
    }
    let current = card.ticket.current().filter(|(_, run)| !run.automatic);
    let assignee = current.flat_map(|(_, run)| run.whose_turn()).next();
    if let Some(assignee) = assignee {
        content["assignee"] = app.people.name(&assignee).await?.into();
    }
    Ok(content)
}

/// Returns the configuration items, the impacted services and the deadline of the ticket. A member without a value is
/// absent.
fn context(card: &TicketCard) -> Value {
    let known = TicketContext::of(card);
    let mut context = json!({});
    for (member, items) in [
        ("related_cis", known.related_cis),
        ("impacted_services", known.impacted_services),
    ] {
        if !items.is_empty() {
            context[member] = items.into();
        }
    }
    if !known.sla_deadline.is_empty() {
        context["sla_deadline"] = known.sla_deadline.into();
    }
    context
}

/// Applies one event of the notification to the states of its channels.
async fn apply(
    app: &App,
    statuses: &mut BTreeMap<String, Status>,
    event: &NotificationEvent,
    at: Moment,
) -> Result<(), Error> {
    match event {
        // The inbox shows a notification from its first event on. Channels come later.
        NotificationEvent::Requested(_) => set(statuses, IN_APP, State::Sent, Some(at), ""),
        NotificationEvent::Routed(routed) => {
            wait_in_app(statuses, "");
            for route in &routed.routes {
                let reason = match route.mode {
                    Mode::Immediate => "sending",
                    Mode::Digest { .. } => "batch_scheduled",
                };
                set(statuses, &route.channel, State::Pending, None, reason);
            }
            for skipped in &routed.skipped {
                let account = app.configuration.channel_account(&skipped.account).await?;
                let channel = account.map(|account| account.channel);
                let channel = channel.as_deref().unwrap_or(&skipped.account);
                set(
                    statuses,
                    channel,
                    State::Skipped,
                    None,
                    skip_reason(skipped.reason),
                );
            }
        }
        NotificationEvent::FallbackStarted(started) => {
            set(statuses, &started.channel, State::Pending, None, "sending");
        }
        NotificationEvent::DeliveryEnded(ended) => {
            let account = app.configuration.channel_account(&ended.account).await?;
            let channel = account.map(|account| account.channel);
            let channel = channel.as_deref().unwrap_or(&ended.account);
            let state = if ended.is_accepted {
                State::Sent
            } else {
                State::Failed
            };
            let is_pending = |status: &Status| status.state == State::Pending;
            // The end replaces the wait of this account. A success of another account of the channel remains.
            if statuses.get(&family(channel)).is_some_and(is_pending) {
                statuses.remove(&family(channel));
            }
            let reason = if ended.is_accepted { "" } else { &ended.reason };
            set(statuses, channel, state, Some(at), reason);
        }
        NotificationEvent::Bounced(bounced) => {
            let account = app.configuration.channel_account(&bounced.account).await?;
            let channel = account.map(|account| account.channel);
            let channel = channel.as_deref().unwrap_or(&bounced.account);
            // The report replaces the acceptance of this account. A success of another account remains.
            if bounced.not_repeated != Some(NotRepeated::OtherAccepted) {
                statuses.remove(&family(channel));
            }
            set(statuses, channel, State::Failed, Some(at), "bounced");
        }
        NotificationEvent::Held(held) => {
            let reason = serde_json::to_value(held.reason()).unwrap_or_default();
            wait_in_app(statuses, reason.as_str().unwrap_or_default());
        }
        NotificationEvent::Completed(completed) => {
            wait_in_app(statuses, "");
            // The inbox does not show a notification that was not needed.
            if completed.outcome == Outcome::NotNeeded {
                statuses.remove(IN_APP);
                set(
                    statuses,
                    IN_APP,
                    State::Skipped,
                    Some(at),
                    &completed.reason,
                );
            }
        }
        NotificationEvent::Read(_)
        | NotificationEvent::InboxChanged(_)
        | NotificationEvent::Outdated(_)
        | NotificationEvent::Acted(_) => {}
    }
    Ok(())
}

/// Stores the reason why the channels wait. The inbox already shows the notification. An empty text means that they do not
/// wait any more.
fn wait_in_app(statuses: &mut BTreeMap<String, Status>, reason: &str) {
    if let Some(status) = statuses.get_mut(IN_APP) {
        reason.clone_into(&mut status.reason);
    }
}

/// Stores the state of a channel, unless another account of the channel has a higher state.
fn set(
    statuses: &mut BTreeMap<String, Status>,
    channel: &str,
    state: State,
    at: Option<Moment>,
    reason: &str,
) {
    let channel = family(channel);
    let is_higher = statuses.get(&channel).is_none_or(|one| one.state <= state);
    if is_higher {
        let status = Status {
            state,
            at,
            reason: reason.to_owned(),
        };
        statuses.insert(channel, status);
    }
}

/// Returns the name of a channel in the words of the requirements, such as `dingtalk` for all channels of DingTalk.
fn family(channel: &str) -> String {
    let known = match channel {
        "wecom_robot" | "wecom_app" | "public_account" => "wechat",
        name if name.starts_with("dingtalk_") => "dingtalk",
        name if name.starts_with("slack") => "slack",
        name if name.starts_with("teams_") => "teams",
        name if name.starts_with("feishu") => "feishu",
        name => name,
    };
    known.to_owned()
}

fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NoAddress => "no_address",
        SkipReason::Disabled => "disabled",
        SkipReason::NotDefined => "not_defined",
        SkipReason::ChannelOff => "channel_off",
        SkipReason::CategoryOff => "category_off",
        SkipReason::Capped => "capped",
        SkipReason::Suppressed => "suppressed",
        SkipReason::Degraded => "degraded",
        SkipReason::Perished => "perished",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_event_has_the_day_and_a_number() {
        let id = |number, stream| event_id(number, stream, "2026-11-22T10:00:00+08:00");
        assert_eq!(id(Some(1), "notification-a"), "notif-20261122-001");
        assert_eq!(id(Some(1234), "notification-a"), "notif-20261122-1234");
        // Without a stored number, the id of the notification decides.
        assert_ne!(id(None, "notification-a"), id(None, "notification-b"));
        let id = id(None, "notification-a");
        let number = id.strip_prefix("notif-20261122-").expect("the day");
        assert!(
            number.len() >= 3 && number.bytes().all(|digit| digit.is_ascii_digit()),
            "{id}"
        );
    }

    #[test]
    fn a_success_of_one_account_counts_for_the_channel() {
        let mut statuses = BTreeMap::new();
        set(
            &mut statuses,
            "dingtalk_robot",
            State::Failed,
            Some(Moment(1)),
            "310000",
        );
        set(
            &mut statuses,
            "dingtalk_app",
            State::Sent,
            Some(Moment(2)),
            "",
        );
        set(
            &mut statuses,
            "dingtalk_card",
            State::Skipped,
            None,
            "no_address",
        );
        let states: Vec<(&str, State)> = statuses
            .iter()
            .map(|(channel, status)| (channel.as_str(), status.state))
            .collect();
        assert_eq!(states, [("dingtalk", State::Sent)]);
    }
}
