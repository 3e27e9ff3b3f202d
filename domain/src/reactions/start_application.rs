//! Requests that the desk sends the first request of an application without a ticket. An application is a request for
//! approval in an external ITSM.

use events::application::ApplicationEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::itsm::application::Application;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_application";

/// Returns one intent (a request for work) if a person applied over the API. For any other event, the list is empty.
pub fn react(envelope: &Envelope<ApplicationEvent>, _card: &Application) -> Vec<Intent> {
    let ApplicationEvent::Applied(_) = &envelope.event else {
        return Vec::new();
    };
    vec![Intent::StartApplication {
        application: envelope.stream.clone(),
    }]
}
