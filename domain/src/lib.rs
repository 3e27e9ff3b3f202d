//! Decisions: pure, total and fast functions without I/O, clock, randomness or environment.
//!
//! A request becomes a [`decider::Decider::Command`]. `decide` returns events or a rejection, and
//! `evolve` applies the events to the state. [`views`] turn stored events into the documents that
//! people read. [`reactions`] turn stored events into follow-up work, which are
//! [`intent::Intent`]s.
//!
//! **Recipe, an aggregate**: To add an aggregate, first add its events in `events/src/<name>.rs`.
//! Then add one file in this crate that contains `Command`, `Rejection`, state, `decide`, `evolve`,
//! card, helpers and tests. Add a `pub mod` line to this file, a row to
//! `functions/src/registry.rs`, and a flow to `tests/flows`.
//!
//! **Recipe, a card, a projection or a reaction**: To add one of these, add one file to its folder.
//! Add its line to the `mod.rs` of the folder, and its entry to `functions/src/registry.rs`.

pub mod api_call;
pub mod attachment;
pub mod attempt;
pub mod callback;
pub mod condition;
pub mod config;
pub mod decider;
pub mod draft;
pub mod envelope;
pub mod es_adapter;
pub mod idempotency_key;
pub mod inbound;
pub mod intent;
pub mod itsm;
pub mod ledger;
pub mod number_sequence;
pub mod options;
pub mod placeholder;
pub mod projections;
pub mod reaction;
pub mod reactions;
pub mod ticket;
pub mod user_name;
pub mod value;
pub mod views;
pub mod workflow;

pub use decider::{DecideError, Decider, StreamRole};
pub use envelope::Envelope;
pub use es_adapter::EsAggregate;
