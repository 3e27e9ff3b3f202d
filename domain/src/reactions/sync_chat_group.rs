//! Requests that the chat group of a ticket follows the ticket, after each event that can change the people, the name or
//! the end of the group, or that the group gets as a message.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, SyncChatGroup};
use crate::notification::chat_group::of_ticket::{announced, changes_group};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "sync_chat_group";

/// Returns a list with one intent (a request for work) if the event concerns the group. For any other event, the list is
/// empty. The desk then reads from the notification policy whether the ticket has or needs a group.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some(opened) = &card.ticket.opened else {
        return Vec::new();
    };
    let (fact, is_end) = (announced(&envelope.event), envelope.event.ends());
    if fact.is_none() && !is_end && !changes_group(&envelope.event) {
        return Vec::new();
    }
    vec![Intent::SyncChatGroup(Box::new(SyncChatGroup {
        ticket: opened.sn.clone(),
        fact,
        is_end,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use events::notification::Fact;

    use super::*;

    /// Returns the intents after an event of the sample history of a ticket.
    fn after(kind: &str) -> Vec<Intent> {
        let mut card = TicketCard::default();
        let mut found = Vec::new();
        for (number, event) in (1_i64..).zip(events::samples::history::<TicketEvent>()) {
            let is_wanted = events::Event::kind(&event) == kind;
            let envelope = Envelope {
                stream: "ticket-REQ1".into(),
                sequence: number,
                at: Moment(number),
                occurred_at: None,
                meta: events::Meta::default(),
                event,
            };
            card.fold(&envelope);
            if is_wanted {
                found = react(&envelope, &card);
            }
        }
        found
    }

    #[test]
    fn events_of_people_name_and_end_request_a_sync() {
        for (kind, fact, is_end) in [
            ("ticket.node_transferred", None, false),
            ("ticket.followers_changed", None, false),
            ("ticket.suspended", Some(Fact::Suspended), false),
            ("ticket.terminated", Some(Fact::Terminated), true),
            ("ticket.withdrawn", None, true),
        ] {
            let intents = after(kind);
            let [Intent::SyncChatGroup(sync)] = intents.as_slice() else {
                panic!("{kind}: {intents:?}")
            };
            assert_eq!((sync.fact, sync.is_end), (fact, is_end), "{kind}");
        }
        for kind in ["ticket.rated", "ticket.linked", "ticket.vote_cast"] {
            assert!(after(kind).is_empty(), "{kind}");
        }
    }
}
