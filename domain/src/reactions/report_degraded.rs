//! Requests a notification for the operators of the desk when most of the messages of a channel account fail.

use events::channel_account::ChannelAccountEvent;
use events::notification::Fact;

use crate::config::ChannelAccount;
use crate::envelope::Envelope;
use crate::intent::{About, Intent};

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_degraded";

/// The beginning of the name of the stream of a channel account. The name of the account follows.
const STREAM: &str = "channel_account-";

/// Returns a list with one intent (a request for work) if the account became degraded. Otherwise, the list is empty. The
/// intent names the account. Its ticket is the one whose message failed last, because each notification has a ticket.
pub fn react(envelope: &Envelope<ChannelAccountEvent>, _card: &ChannelAccount) -> Vec<Intent> {
    let ChannelAccountEvent::Degraded(degraded) = &envelope.event else {
        return Vec::new();
    };
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::AccountDegraded,
        ticket: degraded.ticket.clone(),
        node: None,
        name: account_of(&envelope.stream).to_owned(),
        round: 0,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}

/// Returns the name of the account with the given stream.
fn account_of(stream: &str) -> &str {
    stream.strip_prefix(STREAM).unwrap_or(stream)
}

#[cfg(test)]
mod tests {
    use events::channel_account::{Degraded, Recovered};
    use events::{Meta, Moment};

    use super::*;

    fn envelope(event: ChannelAccountEvent) -> Envelope<ChannelAccountEvent> {
        Envelope {
            stream: "channel_account-ops_robot".into(),
            sequence: 2,
            at: Moment(1),
            occurred_at: None,
            meta: Meta::system("c", "c"),
            event,
        }
    }

    #[test]
    fn the_intent_names_the_account() {
        let degraded = envelope(
            Degraded {
                accepted: 1,
                failed: 9,
                ticket: "REQ1".into(),
            }
            .into(),
        );
        let intents = react(&degraded, &ChannelAccount::default());
        let [Intent::NotifyOperators(about)] = intents.as_slice() else {
            panic!("{intents:?}")
        };
        assert_eq!(about.name, "ops_robot");
        assert_eq!(about.fact, Fact::AccountDegraded);
        let recovered = envelope(Recovered {}.into());
        assert!(react(&recovered, &ChannelAccount::default()).is_empty());
    }
}
