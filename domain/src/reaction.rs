//! Implements the aggregate that stores the start of a reaction. A reaction is a function that creates further
//! work from events. The reaction processes only the commits (groups of events that are stored together) that
//! are stored after its start.

use events::Moment;
use events::reaction::{Activated, ReactionEvent};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Stores the start of a reaction (a function that creates further work from events). If the start is already
/// stored, the command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Activated);

/// This aggregate never rejects a command, so the enum has no variants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The stored start of one reaction (a function that creates further work from events). `None` if the desk
/// has never run the reaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth(pub Option<Activated>);

impl Decider for Birth {
    type Command = Command;
    type Event = ReactionEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        Command(activated): &Command,
        (): &(),
    ) -> Result<Vec<ReactionEvent>, DecideError<Self>> {
        Ok(match self.0 {
            Some(_) => Vec::new(),
            None => vec![activated.clone().into()],
        })
    }

    fn evolve(&mut self, ReactionEvent::Activated(activated): &ReactionEvent) {
        self.0.get_or_insert_with(|| activated.clone());
    }
}

impl Birth {
    /// Returns true if a commit (a group of events that are stored together) was stored after the start of the
    /// reaction. The reaction must process such a commit. The function compares the positions of the commit
    /// and the start. If one of these positions is unknown (`None`), the function compares the times instead.
    pub fn includes(&self, position: Option<i64>, at: Moment) -> bool {
        let Some(birth) = &self.0 else {
            return false;
        };
        match (position, birth.position) {
            (Some(position), Some(ignored)) => position > ignored,
            _ => at >= birth.at,
        }
    }
}

/// Returns the name of the stream that stores the start of a reaction (a function that creates further work
/// from events).
pub fn stream(name: &str) -> String {
    format!("reaction-{name}")
}

/// Returns the name of the stream that stores since when a reaction processes the event type `event`, such as
/// `ticket.resumed`. Only event types that a later version of the reaction added have such a stream.
pub fn stream_of_type(name: &str, event: &str) -> String {
    format!("reaction-{name}.{event}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn born(position: Option<i64>) -> Activated {
        Activated {
            reaction: "send_callback".into(),
            event: String::new(),
            position,
            at: Moment(100),
        }
    }

    #[test]
    fn a_reaction_is_activated_once() {
        let mut birth = Birth::default();
        let events = birth
            .decide(&Command(born(Some(7))), &())
            .expect("accepted");
        events.iter().for_each(|event| birth.evolve(event));
        assert_eq!(birth.0, Some(born(Some(7))));
        assert_eq!(birth.decide(&Command(born(Some(9))), &()), Ok(Vec::new()));
    }

    #[test]
    fn a_reaction_ignores_commits_before_its_activation() {
        let on_a_feed = Birth(Some(born(Some(7))));
        assert!(!on_a_feed.includes(Some(7), Moment(500)));
        assert!(on_a_feed.includes(Some(8), Moment(50)));
        assert!(!on_a_feed.includes(None, Moment(99)));
        let on_a_table_stream = Birth(Some(born(None)));
        assert!(!on_a_table_stream.includes(None, Moment(99)));
        assert!(on_a_table_stream.includes(None, Moment(100)));
        assert!(!Birth::default().includes(Some(1), Moment(1)));
    }
}
