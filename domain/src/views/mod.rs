//! Defines views. A view is a pure function that converts events to stored documents. Lists and detail pages
//! show these documents.

pub mod callback_card;
pub mod ticket_card;
pub mod workflow_card;

use events::{Event, Personal};
use serde::{Serialize, de::DeserializeOwned};

use crate::decider::Decider;
use crate::envelope::Envelope;

/// The card of one stream. A card is a stored document that summarizes the stream. Each entry of a list
/// refers to a card.
pub trait Card:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    type Event: Event;
    /// The name under which the stores keep the cards. The name must never change.
    const VIEW: &'static str;
    /// The names of the lists that clients read page by page. Some stores count the entries of these lists by
    /// time and by filter values. Each entry must therefore have a sort text that ends with a time in
    /// milliseconds, written with 16 digits.
    const COUNTED: &'static [&'static str] = &[];
    /// False if no function of this trait and no reaction reads the personal values of the card or of its events, but only
    /// moves them. The follower (the task that processes new commits) then leaves these values encrypted.
    const READS_PERSONALS: bool = true;

    fn fold(&mut self, envelope: &Envelope<Self::Event>);
    /// Returns the list entries of the card. An entry consists of the name of a list and a text by which the
    /// list is sorted. The stores do not encrypt entries, so an entry must not contain personal values.
    fn index(&self) -> Vec<(&'static str, String)>;
    /// Returns all personal values in the card. The caller encrypts the personal values before the card is
    /// stored, and decrypts the values after the card is read.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
    /// Returns the values of the card by which lists are filtered, as one text. The text has two parts with a
    /// tab character between them. The first part contains values that many cards share, such as a status.
    /// The second part contains values that normally only this card has, such as a creation time. Each list
    /// entry contains this text unencrypted. The text is empty if lists of these cards have no filters.
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

/// Returns the list entry of a saved form: a draft, or a template for new tickets. The entry belongs to the
/// list of the person who saved the form. Drafts are sorted by their deadlines, and templates by their
/// services.
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

/// Implements [`Card`] (a stored summary for lists) for aggregates whose state is also their card. The
/// parameter `$index` is an expression that returns the list entries.
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
    crate::config::Integration, "integration", card => card.defined.iter().map(|one| ("id", one.name.clone())).collect();
    crate::config::ApplicationKind, "application_kind", card => card.0.iter().map(|kind| ("id", kind.name.clone())).collect();
    crate::config::ChannelAccount, "channel_account", card => card.0.iter().map(|account| ("id", account.name.clone())).collect();
    crate::config::Calendar, "calendar", card => card.0.iter().map(|calendar| ("id", calendar.name.clone())).collect();
    crate::config::Rule, "rule", card => card.0.iter().map(|rule| ("name", rule.name.clone())).collect();
    crate::config::Role, "role", card => card.0.iter().filter(|role| role.is_listed).map(|role| ("id", format!("{:010}", role.role.0))).collect();
}
