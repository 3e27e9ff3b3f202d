//! Defines the card of the chat groups of one ticket. With it, the desk finds the ticket of a group in which a person wrote a
//! message.

use events::TicketSn;
use events::chat_group::ChatGroupEvent;
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::views::Card;

/// The name of the list that contains each group under its [`address`].
pub const BY_ADDRESS: &str = "address";
/// Maximum number of groups of one ticket that the desk still finds: the newest ones.
pub const GROUPS_MAX: usize = 20;

/// The groups of one ticket. A ticket has at most one open group, and people can request a new group after it is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCard {
    pub ticket: TicketSn,
    /// The channel account that owns the newest group.
    pub account: String,
    /// The addresses of the groups that exist or existed, the oldest first.
    pub addresses: Vec<String>,
}

/// Returns a text that identifies a group: 32 hexadecimal digits. `chat` is the id of the group on the platform of the
/// channel account.
#[must_use]
pub fn address(account: &str, chat: &str) -> String {
    let name = format!("{account}|{chat}");
    let hash = blake3::hash(name.as_bytes()).to_hex();
    hash.as_str()[..32].to_owned()
}

impl Card for GroupCard {
    type Event = ChatGroupEvent;
    const VIEW: &'static str = "chat_group";
    const READS_PERSONALS: bool = false;

    fn fold(&mut self, envelope: &Envelope<ChatGroupEvent>) {
        match &envelope.event {
            ChatGroupEvent::Requested(requested) => {
                self.ticket.clone_from(&requested.ticket);
                self.account.clone_from(&requested.account);
            }
            ChatGroupEvent::Created(created) => {
                let address = address(&self.account, &created.chat);
                self.addresses.retain(|known| *known != address);
                self.addresses.push(address);
                let surplus = self.addresses.len().saturating_sub(GROUPS_MAX);
                self.addresses.drain(..surplus);
            }
            _ => {}
        }
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let addresses = self.addresses.iter();
        addresses
            .map(|address| (BY_ADDRESS, format!("{address}|{}", self.ticket)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use events::chat_group::{Created, Requested};
    use events::{Meta, Moment};

    use super::*;

    fn fold(card: &mut GroupCard, event: ChatGroupEvent) {
        card.fold(&Envelope {
            stream: "chat_group-REQ1".into(),
            sequence: 1,
            at: Moment(1),
            occurred_at: None,
            meta: Meta::default(),
            event,
        });
    }

    fn group(card: &mut GroupCard, account: &str, chat: &str) {
        let requested = Requested {
            ticket: "REQ1".into(),
            account: account.into(),
            channel: "slack".into(),
            name: "REQ1".into(),
            members: Vec::new(),
            not_permitted: Vec::new(),
            omitted: 0,
            by: None,
            keeps: false,
            due: Moment(1),
        };
        fold(card, requested.into());
        let created = Created {
            attempt: 1,
            chat: chat.into(),
            is_named: true,
            members: Vec::new(),
            left_out: Vec::new(),
            due: None,
        };
        fold(card, created.into());
    }

    #[test]
    fn the_newest_groups_of_a_ticket_are_listed_by_account_and_id() {
        let mut card = GroupCard::default();
        assert!(card.index().is_empty());
        group(&mut card, "app", "C1");
        group(&mut card, "other", "C2");
        let row = |account: &str, chat: &str| {
            let address = address(account, chat);
            (BY_ADDRESS, format!("{address}|REQ1"))
        };
        assert_eq!(card.index(), [row("app", "C1"), row("other", "C2")]);
        assert_ne!(address("app", "C1"), address("app", "C2"));
        assert_ne!(address("app", "C1"), address("other", "C1"));
        // A repeated creation moves the group to the end.
        group(&mut card, "app", "C1");
        assert_eq!(card.index(), [row("other", "C2"), row("app", "C1")]);
        for number in 0..GROUPS_MAX {
            group(&mut card, "app", &format!("N{number}"));
        }
        assert_eq!(card.index().len(), GROUPS_MAX);
        assert_eq!(card.index()[0], row("app", "N0"));
    }
}
