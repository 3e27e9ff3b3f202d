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
//! **Recipe, an aggregate**: a module in this crate with its `event_enum!` table, and its lines in
//! [`catalog_of_types`] and [`read_any`]; then the recipe of the crate `domain`.

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
pub mod role;
pub mod samples;
pub mod service;
pub mod service_task;
pub mod ticket;
pub mod upcast;
pub mod workflow;

pub use body::{Body, Meta, Origin, Raw};
pub use event::{Deadline, Event, Personals, Unreadable};
pub use ids::{
    AppCode, AttachmentId, CategoryId, DraftId, Moment, NodeId, PersonId, RoleId, ServiceId,
    TicketSn, TransitionId, WorkflowId,
};
pub use personal::{Entry, Personal, Remark};

/// Returns the aggregate of a stream: the part before the first dash (`ticket-REQ...`, `catalog`).
pub fn aggregate_of(stream: &str) -> &str {
    stream.split('-').next().unwrap_or_default()
}

/// Returns every event type of the ledger with its current version, ordered by aggregate.
pub fn catalog_of_types() -> Vec<(&'static str, u16)> {
    [
        app::AppEvent::TYPES,
        attachment::AttachmentEvent::TYPES,
        api_call::ApiCallEvent::TYPES,
        catalog::CatalogEvent::TYPES,
        callback::CallbackEvent::TYPES,
        dictionary::DictionaryEvent::TYPES,
        draft::DraftEvent::TYPES,
        field::FieldEvent::TYPES,
        idempotency_key::IdempotencyKeyEvent::TYPES,
        ledger::LedgerEvent::TYPES,
        number_sequence::NumberSequenceEvent::TYPES,
        role::RoleEvent::TYPES,
        service::ServiceEvent::TYPES,
        ticket::TicketEvent::TYPES,
        workflow::WorkflowEvent::TYPES,
    ]
    .concat()
}

/// Reads one stored event of any aggregate in the current shape and returns it as JSON. Fails if
/// the type, the version or the shape is unknown. Audits and the sample test use it, because they
/// do not know the aggregate in advance.
pub fn read_any(raw: &Raw<'_>) -> Result<serde_json::Value, Unreadable> {
    fn as_json<F: Event>(raw: &Raw<'_>) -> Result<serde_json::Value, Unreadable> {
        let event = F::read(raw)?;
        serde_json::to_value(event).map_err(|error| Unreadable::shape(raw, &error))
    }
    match raw.kind.split('.').next().unwrap_or_default() {
        "app" => as_json::<app::AppEvent>(raw),
        "attachment" => as_json::<attachment::AttachmentEvent>(raw),
        "api_call" => as_json::<api_call::ApiCallEvent>(raw),
        "catalog" => as_json::<catalog::CatalogEvent>(raw),
        "callback" => as_json::<callback::CallbackEvent>(raw),
        "dictionary" => as_json::<dictionary::DictionaryEvent>(raw),
        "draft" => as_json::<draft::DraftEvent>(raw),
        "field" => as_json::<field::FieldEvent>(raw),
        "idempotency_key" => as_json::<idempotency_key::IdempotencyKeyEvent>(raw),
        "ledger" => as_json::<ledger::LedgerEvent>(raw),
        "number_sequence" => as_json::<number_sequence::NumberSequenceEvent>(raw),
        "role" => as_json::<role::RoleEvent>(raw),
        "service" => as_json::<service::ServiceEvent>(raw),
        "ticket" => as_json::<ticket::TicketEvent>(raw),
        "workflow" => as_json::<workflow::WorkflowEvent>(raw),
        _ => Err(Unreadable::unknown(raw)),
    }
}
