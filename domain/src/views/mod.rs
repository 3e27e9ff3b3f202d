//! Views: pure functions that fold events into documents. Lists and detail pages display these
//! documents.

pub mod callback_card;
pub mod ticket_card;
pub mod workflow_card;

use events::{Event, Personal};
use serde::{Serialize, de::DeserializeOwned};

use crate::decider::Decider;
use crate::envelope::Envelope;

/// The view of one stream, and the index rows under which lists find the view.
pub trait Card:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    type Event: Event;
    /// The permanent name of the view.
    const VIEW: &'static str;
    /// The lists that clients read page by page. An adapter with counters counts the index rows of
    /// these lists by time and by shared facets. Each index value of such a list ends with an
    /// instant in milliseconds, written with 16 digits.
    const COUNTED: &'static [&'static str] = &[];

    fn fold(&mut self, envelope: &Envelope<Self::Event>);
    /// Returns one index row, a list name and a value, for each list that contains the card. Index
    /// rows are stored as plain text, so an index row must not contain personal values.
    fn index(&self) -> Vec<(&'static str, String)>;
    /// Returns the personal values of the card. Views store these values sealed, and readers unseal
    /// the values.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
    /// Returns the facets by which clients can filter the lists of the card. The text contains the
    /// shared facets, a tab, and the own facets. Each index row stores the text unsealed. The text
    /// is empty if the lists offer no filters.
    fn facets(&self) -> String {
        String::new()
    }
}

impl Card for ticket_card::TicketCard {
    type Event = events::ticket::TicketEvent;
    const VIEW: &'static str = "ticket";
    const COUNTED: &'static [&'static str] = &[
        "ticket", "creator", "ended", "dealt", "follows", "todo", "claim", "approval",
    ];
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.fold(envelope);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        self.index()
    }
    fn personals(&mut self) -> Vec<&mut Personal> {
        Decider::personals(&mut self.ticket)
    }
    fn facets(&self) -> String {
        self.facets()
    }
}

impl Card for callback_card::CallbackCard {
    type Event = events::callback::CallbackEvent;
    const VIEW: &'static str = "callback";
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.fold(envelope);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = self.requested() else {
            return Vec::new();
        };
        let mut rows = vec![("ticket", requested.ticket.0.clone())];
        if self.is_failing() {
            rows.push((
                "failing",
                format!(
                    "{}|{}",
                    requested.app.as_ref().map_or("", events::AppCode::as_str),
                    requested.ticket
                ),
            ));
        }
        rows
    }
}

impl Card for workflow_card::WorkflowCard {
    type Event = events::workflow::WorkflowEvent;
    const VIEW: &'static str = "workflow";
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.fold(envelope);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        vec![("id", format!("{:010}", self.workflow.0))]
    }
}

impl Card for crate::api_call::ApiCall {
    type Event = events::api_call::ApiCallEvent;
    const VIEW: &'static str = "api_call";
    const COUNTED: &'static [&'static str] = &["ticket", "api_call", "failed"];
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.evolve(&envelope.event);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = &self.requested else {
            return Vec::new();
        };
        let age = format!("{:016}", requested.due.0);
        let mut rows = vec![
            ("ticket", format!("{}|{age}", requested.ticket)),
            ("api_call", age.clone()),
        ];
        if self
            .answered
            .as_ref()
            .is_some_and(|answered| !answered.succeeded)
        {
            rows.push(("failed", age));
        }
        rows
    }
}

/// Returns the index row of a draft in the list of its owner. Drafts are sorted by deadline,
/// templates by service.
fn draft_row(saved: &events::draft::Saved) -> (&'static str, String) {
    use events::draft::FormRef;
    let sort_key = match &saved.form_ref {
        FormRef::Template { service, .. } => format!("template|{:010}|{}", service.0, saved.draft),
        FormRef::Service(_) | FormRef::Node { .. } => {
            format!("draft|{:016}", saved.due.unwrap_or_default().0)
        }
    };
    ("owner", format!("{}|{sort_key}", saved.owner))
}

/// Implements [`Card`] for aggregates whose state is also their card. `$index` is an expression
/// that returns the index rows.
macro_rules! state_is_the_card {
    ($($state:ty, $view:literal, $card:ident => $index:expr;)*) => {$(
        impl Card for $state {
            type Event = <$state as Decider>::Event;
            const VIEW: &'static str = $view;
            fn fold(&mut self, envelope: &Envelope<Self::Event>) {
                self.evolve(&envelope.event);
            }
            fn index(&self) -> Vec<(&'static str, String)> {
                let $card = self;
                $index
            }
            fn personals(&mut self) -> Vec<&mut Personal> {
                Decider::personals(self)
            }
        }
    )*};
}

state_is_the_card! {
    crate::config::Service, "service", card => card.0.iter().filter(|service| service.is_listed).map(|service| ("id", format!("{:010}", service.service.0))).collect();
    crate::config::Dictionary, "dictionary", card => card.0.iter().filter(|dictionary| dictionary.is_listed).map(|dictionary| ("id", dictionary.code.clone())).collect();
    crate::draft::Draft, "draft", card => card.saved.iter().map(draft_row).collect();
    crate::config::SharedField, "field", card => card.0.iter().filter(|shared| shared.is_listed).map(|shared| ("id", shared.field.key.clone())).collect();
    crate::config::App, "app", card => card.0.iter().map(|app| ("id", app.code.as_str().to_owned())).collect();
    crate::config::Role, "role", card => card.0.iter().filter(|role| role.is_listed).map(|role| ("id", format!("{:010}", role.role.0))).collect();
}
