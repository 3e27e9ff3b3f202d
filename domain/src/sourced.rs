//! Any decider as a cqrs-es aggregate; the only file of this crate that knows cqrs-es.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use events::Fact;
use serde::{Deserialize, Serialize};

use crate::decider::{Decider, Refusal};

/// A decider in the shape cqrs-es wants. Its services are the facts of the decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Sourced<D: Decider>(pub D);

impl<D: Decider> Aggregate for Sourced<D> {
    const TYPE: &'static str = D::Event::AGGREGATE;
    type Command = D::Command;
    type Event = D::Event;
    type Error = Refusal<D>;
    type Services = D::Facts;

    async fn handle(&mut self, command: D::Command, facts: &D::Facts, sink: &EventSink<Self>) -> Result<(), Refusal<D>> {
        for event in self.0.decide(&command, facts)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: D::Event) {
        self.0.evolve(&event);
    }
}
