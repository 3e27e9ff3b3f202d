//! Connects the aggregates in this crate with the library cqrs-es. Apart from tests, no other file of this
//! crate uses this library.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use events::Event;
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider};

/// Connects one aggregate of this crate with the library cqrs-es. In this library, the type `Services` is
/// the additional data that an aggregate needs to check a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct EsAggregate<D: Decider>(pub D);

impl<D: Decider> Aggregate for EsAggregate<D> {
    const TYPE: &'static str = D::Event::AGGREGATE;
    type Command = D::Command;
    type Event = D::Event;
    type Error = DecideError<D>;
    type Services = D::Context;

    async fn handle(
        &mut self,
        command: D::Command,
        context: &D::Context,
        sink: &EventSink<Self>,
    ) -> Result<(), DecideError<D>> {
        for event in self.0.decide(&command, context)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: D::Event) {
        self.0.evolve(&event);
    }
}
