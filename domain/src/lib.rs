//! The rules of the desk. All functions in this crate are pure: they use no files, no network, no
//! clock, no random numbers and no environment variables.
//!
//! The caller converts a request to a [`decider::Decider::Command`]. `decide` returns events or a
//! rejection, and `evolve` applies the events to the state. [`views`] convert stored events to the
//! documents that people read. [`reactions`] convert stored events to further work. A unit of this
//! work is an [`intent::Intent`].
//!
//! **Recipe, an aggregate**: To add an aggregate, first add its events in `events/src/<name>.rs`.
//! Then add one file to this crate. The file contains `Command`, `Rejection`, the state, `decide`,
//! `evolve`, the card (a summary for lists), helper functions and tests. Add a `pub mod` line to
//! this file, a row to `functions/src/registry.rs`, and a test to `tests/flows`.
//!
//! **Recipe, a card, a projection or a reaction**: To add one of these, add one file to the folder
//! of its kind. Add a line to the `mod.rs` of this folder, and add an entry to
//! `functions/src/registry.rs`.

pub mod account;
pub mod api_call;
pub mod attachment;
pub mod attempt;
pub mod automation;
pub mod callback;
pub mod condition;
pub mod config;
pub mod decider;
pub mod draft;
pub mod envelope;
pub mod es_adapter;
pub mod fleet;
pub mod idempotency_key;
pub mod inbound;
pub mod intent;
pub mod itsm;
pub mod ledger;
pub mod notification;
pub mod number_sequence;
pub mod options;
pub mod permission;
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
