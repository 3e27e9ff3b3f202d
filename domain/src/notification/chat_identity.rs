//! Implements the aggregate of one chat identity: the account of a person on a platform such as Slack.

use events::chat_identity::{ChatIdentityEvent, Linked};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The reasons why a command is rejected. The enum has no variants, because the desk never rejects such a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The person to whom a chat account belongs. The value is `None` if the account is not linked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatIdentity(pub Option<Linked>);

impl Decider for ChatIdentity {
    type Command = Linked;
    type Event = ChatIdentityEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    /// Links the account to a person. The newest link counts. A repeated link adds no event.
    fn decide(
        &self,
        linked: &Linked,
        (): &(),
    ) -> Result<Vec<ChatIdentityEvent>, DecideError<Self>> {
        Ok(if self.0.as_ref() == Some(linked) {
            Vec::new()
        } else {
            vec![linked.clone().into()]
        })
    }

    fn evolve(&mut self, ChatIdentityEvent::Linked(linked): &ChatIdentityEvent) {
        self.0 = Some(linked.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    #[test]
    fn the_newest_link_counts() {
        let link = |person: &str| Linked {
            person: person.into(),
            kind: "slack".into(),
        };
        let mut history = ChatIdentity::default().decide(&link("p-1"), &()).unwrap();
        assert_eq!(history, [link("p-1").into()]);
        let state: ChatIdentity = fold(&history);
        assert_eq!(state.decide(&link("p-1"), &()), Ok(Vec::new()));
        history.extend(state.decide(&link("p-2"), &()).unwrap());
        assert_eq!(fold::<ChatIdentity>(&history).0, Some(link("p-2")));
    }
}
