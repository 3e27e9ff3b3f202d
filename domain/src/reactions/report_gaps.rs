//! Requests a notification for the operators of the desk when the standing check finds a step of an escalation chain that
//! reaches no person.

use events::notification::Fact;
use events::standing_check::StandingCheckEvent;

use crate::envelope::Envelope;
use crate::intent::{About, Intent};
use crate::notification::standing_check::StandingCheck;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_gaps";

/// Returns a list with one intent (a request for work) if the check found a problem of which the operators do not know.
/// Otherwise, the list is empty. The notification has no ticket.
pub fn react(envelope: &Envelope<StandingCheckEvent>, card: &StandingCheck) -> Vec<Intent> {
    let (StandingCheckEvent::Checked(checked), Some(chain)) = (&envelope.event, &card.chain) else {
        return Vec::new();
    };
    if !checked.is_reported {
        return Vec::new();
    }
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::ChainGap,
        ticket: "".into(),
        node: None,
        name: chain.clone(),
        round: 0,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
