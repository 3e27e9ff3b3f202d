//! Stored facts: the contract of the ledger, which must be readable in ten years.
//!
//! Each aggregate has one enum, each event one struct, and each type and version one sample in
//! `samples/`. The body of a commit is `{ "meta": {..}, "events": [ { "type", "version",
//! "occurred_at"?, "data" } ] }`, see [`body`].
//!
//! Rules of change: an optional member with a default needs no new version. Any other change raises
//! the version in the table of the aggregate and adds a step to [`upcast`] and a new sample. Old
//! samples stay and must read as the new shape.
//!
//! **Recipe, an event**: a struct and a row in the aggregate's `event_enum!` table in this crate; a
//! sample in `samples/` and its line in `samples.rs`; the `evolve` arm in `domain`; the views and
//! reactions that use the event.
//!
//! **Recipe, an aggregate**: a module in this crate with its `event_enum!` table, its samples, its
//! `pub mod` line and its line in the table of aggregates in this file; then the recipe of the
//! crate `domain`.

mod event;

pub mod api_call;
pub mod app;
pub mod attachment;
pub mod body;
pub mod callback;
pub mod catalog;
pub mod dictionary;
pub mod draft;
pub mod field;
pub mod idempotency_key;
pub mod ids;
pub mod ledger;
pub mod number_sequence;
pub mod personal;
pub mod reaction;
pub mod role;
pub mod samples;
pub mod service;
pub mod ticket;
pub mod upcast;
pub mod workflow;

pub use body::{Body, Meta, Origin, Raw};
pub use event::{DeadlineChange, Event, Personals, Unreadable};
pub use ids::{
    AppCode, AttachmentId, CategoryId, DraftId, Moment, NodeId, PersonId, RoleId, ServiceId,
    TicketSn, TransitionId, WorkflowId,
};
pub use personal::{Entry, Personal, Remark};

/// Returns the aggregate of a stream: the part before the first dash (`ticket-REQ...`, `catalog`).
pub fn aggregate_of(stream: &str) -> &str {
    stream.split('-').next().unwrap_or_default()
}

/// Declares everything that follows from the table of aggregates. The modules are declared above,
/// because rustfmt does not find modules that a macro declares.
macro_rules! aggregates {
    ($($module:ident: $event:ident,)*) => {
        /// The names of all aggregates. A stream belongs to the aggregate before its first dash.
        pub const AGGREGATES: &[&str] = &[$(<$module::$event as Event>::AGGREGATE),*];

        /// One event of any aggregate, for consumers of the whole feed.
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        pub enum AnyEvent {
            $($event($module::$event)),*
        }

        impl AnyEvent {
            /// Reads one stored event of any known version and returns it in the current shape.
            /// Fails if the type, the version or the shape of the stored event is unknown.
            pub fn read(raw: &Raw<'_>) -> Result<Self, Unreadable> {
                let aggregate = raw.kind.split('.').next().unwrap_or_default();
                $(if aggregate == <$module::$event as Event>::AGGREGATE {
                    return $module::$event::read(raw).map(Self::$event);
                })*
                Err(Unreadable::unknown(raw))
            }
            /// Returns every personal value of the event.
            pub fn personals(&mut self) -> Vec<&mut Personal> {
                match self {
                    $(Self::$event(event) => event.personals()),*
                }
            }
        }

        /// Returns every event type of the ledger with its current version, ordered by aggregate.
        pub fn catalog_of_types() -> Vec<(&'static str, u16)> {
            [$($module::$event::TYPES),*].concat()
        }
    };
}

aggregates! {
    api_call: ApiCallEvent,
    app: AppEvent,
    attachment: AttachmentEvent,
    callback: CallbackEvent,
    catalog: CatalogEvent,
    dictionary: DictionaryEvent,
    draft: DraftEvent,
    field: FieldEvent,
    idempotency_key: IdempotencyKeyEvent,
    ledger: LedgerEvent,
    number_sequence: NumberSequenceEvent,
    reaction: ReactionEvent,
    role: RoleEvent,
    service: ServiceEvent,
    ticket: TicketEvent,
    workflow: WorkflowEvent,
}

/// Reads one stored event of any aggregate in the current shape and returns it as JSON. Fails if the
/// type, the version or the shape is unknown. Audits and the sample test use it, because they do not
/// know the aggregate in advance.
pub fn read_any(raw: &Raw<'_>) -> Result<serde_json::Value, Unreadable> {
    let event = AnyEvent::read(raw)?;
    serde_json::to_value(event).map_err(|error| Unreadable::shape(raw, &error))
}
