//! Implements the aggregate of the thread of one ticket in one conversation of a chat. The first message about the
//! ticket is the root of the thread, and later messages answer it. The aggregate stores only which delivery sends the
//! root, so that two deliveries at the same time do not both start a thread.

use events::TicketSn;
use events::chat_thread::{ChatThreadEvent, Rooted};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The command that changes a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub root: Rooted,
    /// The delivery that sent the root until now. If another delivery sends the root in the meantime, the command does
    /// nothing.
    pub replaces: Option<String>,
}

/// The reasons why a command is rejected. The enum has no variants, because the desk never rejects such a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The thread of one ticket in one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatThread {
    /// The name of the stream of the delivery that sends the first message. `None` if the conversation has no message
    /// about the ticket.
    pub root: Option<String>,
}

impl Decider for ChatThread {
    type Command = Command;
    type Event = ChatThreadEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<ChatThreadEvent>, DecideError<Self>> {
        let is_current = self.root == command.replaces;
        let is_new = self.root.as_ref() != Some(&command.root.delivery);
        Ok(if is_current && is_new {
            vec![command.root.clone().into()]
        } else {
            Vec::new()
        })
    }

    fn evolve(&mut self, ChatThreadEvent::Rooted(rooted): &ChatThreadEvent) {
        self.root = Some(rooted.delivery.clone());
    }
}

/// Returns the name of the stream of a thread. `conversation` identifies the conversation within the account: the id of
/// a channel, or the id of the person who gets direct messages.
pub fn stream(account: &str, ticket: &TicketSn, conversation: &str) -> String {
    let name = format!("{account}|{ticket}|{conversation}");
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("chat_thread-{}", &hash.as_str()[..32])
}

#[cfg(test)]
mod tests {
    use events::chat_thread::RootReason;

    use super::*;
    use crate::decider::fold;

    fn root(delivery: &str, because: RootReason) -> Rooted {
        Rooted {
            account: "chat".into(),
            ticket: "REQ1".into(),
            delivery: delivery.into(),
            because,
        }
    }

    fn decide(
        history: &[ChatThreadEvent],
        root: Rooted,
        replaces: Option<&str>,
    ) -> Vec<ChatThreadEvent> {
        let replaces = replaces.map(str::to_owned);
        let command = Command { root, replaces };
        let decided = fold::<ChatThread>(history).decide(&command, &());
        decided.expect("no command is rejected")
    }

    #[test]
    fn one_of_two_deliveries_at_the_same_time_sends_the_root() {
        let first = root("delivery-1", RootReason::First);
        let mut history = decide(&[], first.clone(), None);
        assert_eq!(history, [ChatThreadEvent::from(first.clone())]);
        let second = root("delivery-2", RootReason::First);
        assert!(decide(&history, second, None).is_empty());
        assert!(decide(&history, first, None).is_empty(), "a repetition");
        let lost = root("delivery-2", RootReason::Lost);
        history.extend(decide(&history, lost, Some("delivery-1")));
        assert_eq!(history.len(), 2);
        let late = root("delivery-3", RootReason::Lost);
        let outdated = decide(&history, late.clone(), Some("delivery-1"));
        assert!(outdated.is_empty(), "the lost root is replaced already");
        history.extend(decide(&history, late, Some("delivery-2")));
        let root = fold::<ChatThread>(&history).root;
        assert_eq!(root.as_deref(), Some("delivery-3"));
    }

    #[test]
    fn each_account_ticket_and_conversation_has_a_thread_of_its_own() {
        let of = |account: &str, ticket: &str, conversation: &str| {
            stream(account, &ticket.into(), conversation)
        };
        let one = of("chat", "REQ1", "C1");
        assert_eq!(one.len(), "chat_thread-".len() + 32);
        for other in [
            of("chat2", "REQ1", "C1"),
            of("chat", "REQ2", "C1"),
            of("chat", "REQ1", "C2"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, of("chat", "REQ1", "C1"));
    }
}
