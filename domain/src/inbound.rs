//! Implements the aggregate of one inbound message. An inbound message is a request that another system sent
//! to this desk. The name of the event stream is computed from the message. A repeated message therefore
//! belongs to the same stream and adds no event. This rule prevents replay attacks.

use events::inbound::{InboundEvent, Received};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// This aggregate never rejects a command, so the enum has no variants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The state of one inbound message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbound(pub Option<Received>);

impl Decider for Inbound {
    type Command = Received;
    type Event = InboundEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(_command: &Received) -> bool {
        true
    }

    fn decide(&self, message: &Received, (): &()) -> Result<Vec<InboundEvent>, DecideError<Self>> {
        Ok(match &self.0 {
            Some(_) => Vec::new(),
            None => vec![message.clone().into()],
        })
    }

    fn evolve(&mut self, InboundEvent::Received(received): &InboundEvent) {
        self.0 = Some(received.clone());
    }
}

/// A card is a stored summary of a stream. The card of an inbound message appears in no list. The desk needs
/// this card only to store which events of the stream are already processed.
impl Card for Inbound {
    type Event = InboundEvent;
    const VIEW: &'static str = "inbound";
    fn fold(&mut self, envelope: &Envelope<InboundEvent>) {
        self.evolve(&envelope.event);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    #[test]
    fn a_repeated_message_adds_no_event() {
        let message = Received {
            source: "bk-itsm".into(),
            subject: "application-1".into(),
            body: "AA".into(),
            problem: String::new(),
        };
        let events = Inbound::default().decide(&message, &()).unwrap();
        assert_eq!(events, [message.clone().into()]);
        let again = fold::<Inbound>(&events).decide(&message, &());
        assert_eq!(again, Ok(Vec::new()));
    }
}
