//! Decisions: pure, total and fast, without I/O, clock, randomness or environment.
//!
//! A request becomes a [`decider::Decider::Command`]. `decide` returns events or a rejection, and
//! `evolve` applies the events to the state. Stored events are the input of [`views`] (what people
//! read) and [`reactions`] (follow-up work as [`intent::Intent`]s).
//!
//! **Recipe, an aggregate**: `events/src/<name>.rs`; one file here with `Command`, `Rejection`,
//! state, `decide`, `evolve`, its card, helpers and tests; its `pub mod` line in this file; its row
//! in `functions/src/registry.rs`; a flow in `tests/flows`.
//!
//! **Recipe, a card, a projection or a reaction**: one file in its folder, its line in the folder's
//! `mod.rs`, and its entry in `functions/src/registry.rs`.

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
pub mod intent;
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
