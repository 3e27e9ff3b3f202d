//! What has happened: the contract of the ledger, readable in ten years.
//!
//! One enum per aggregate, one struct per event, one sample per type and version in `samples/`. A commit's body is
//! `{ "meta": {..}, "events": [ { "type", "version", "occurred_at"?, "data" } ] }`, see [`body`].
//!
//! Rules of change: an added optional field with a default needs no new version. Anything else raises the version in the
//! aggregate's table, adds a step to [`upcast`] and a new sample; old samples stay and must read as the new shape.
//!
//! **Recipe, an event**: a struct and a line in the aggregate's `facts!` table here, a sample in `samples/`, the `evolve`
//! arm in `domain`, and the views and reactions that care.

mod fact;

pub mod app;
pub mod attachment;
pub mod body;
pub mod call;
pub mod catalog;
pub mod delivery;
pub mod dictionary;
pub mod draft;
pub mod field;
pub mod ids;
pub mod intake;
pub mod ledger;
pub mod numbers;
pub mod outside;
pub mod personal;
pub mod role;
pub mod samples;
pub mod service;
pub mod ticket;
pub mod upcast;
pub mod workflow;

pub use body::{Body, Channel, Meta, Raw};
pub use fact::{Deadline, Fact, Personals, Unreadable};
pub use ids::{AppCode, AttachmentId, CatalogId, DraftId, LineId, Moment, NodeId, Pid, RoleId, ServiceId, TicketSn, WorkflowId};
pub use personal::{Entry, Personal, Remark};

/// The aggregate a stream belongs to: what stands before its first dash (`ticket-REQ...`, `catalog`).
pub fn aggregate_of(stream: &str) -> &str {
    stream.split('-').next().unwrap_or_default()
}

/// Lists every event type of the ledger with its current version, aggregate by aggregate.
pub fn catalog_of_types() -> Vec<(&'static str, u16)> {
    [
        app::AppEvent::TYPES,
        attachment::AttachmentEvent::TYPES,
        call::CallEvent::TYPES,
        catalog::CatalogEvent::TYPES,
        delivery::DeliveryEvent::TYPES,
        dictionary::DictionaryEvent::TYPES,
        draft::DraftEvent::TYPES,
        field::FieldEvent::TYPES,
        intake::IntakeEvent::TYPES,
        ledger::LedgerEvent::TYPES,
        numbers::NumbersEvent::TYPES,
        role::RoleEvent::TYPES,
        service::ServiceEvent::TYPES,
        ticket::TicketEvent::TYPES,
        workflow::WorkflowEvent::TYPES,
    ]
    .concat()
}

/// Reads one stored event of any aggregate as today's shape and gives it back as JSON, or says why it can't be read.
/// This is what audits and the sample test use: it needs no knowledge of the aggregate beforehand.
pub fn read_any(raw: &Raw<'_>) -> Result<serde_json::Value, Unreadable> {
    fn as_json<F: Fact>(raw: &Raw<'_>) -> Result<serde_json::Value, Unreadable> {
        let fact = F::read(raw)?;
        serde_json::to_value(fact).map_err(|error| Unreadable::shape(raw, &error))
    }
    match raw.kind.split('.').next().unwrap_or_default() {
        "app" => as_json::<app::AppEvent>(raw),
        "attachment" => as_json::<attachment::AttachmentEvent>(raw),
        "call" => as_json::<call::CallEvent>(raw),
        "catalog" => as_json::<catalog::CatalogEvent>(raw),
        "delivery" => as_json::<delivery::DeliveryEvent>(raw),
        "dictionary" => as_json::<dictionary::DictionaryEvent>(raw),
        "draft" => as_json::<draft::DraftEvent>(raw),
        "field" => as_json::<field::FieldEvent>(raw),
        "intake" => as_json::<intake::IntakeEvent>(raw),
        "ledger" => as_json::<ledger::LedgerEvent>(raw),
        "numbers" => as_json::<numbers::NumbersEvent>(raw),
        "role" => as_json::<role::RoleEvent>(raw),
        "service" => as_json::<service::ServiceEvent>(raw),
        "ticket" => as_json::<ticket::TicketEvent>(raw),
        "workflow" => as_json::<workflow::WorkflowEvent>(raw),
        _ => Err(Unreadable::unknown(raw)),
    }
}
