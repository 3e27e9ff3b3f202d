//! What we decide: pure, total, quick. There is no clock here, no chance, no environment and no I/O.
//!
//! A request becomes a [`decider::Decider::Command`]; `decide` turns it into events or says why not; `evolve` remembers them.
//! From stored events follow [`views`] (what people read) and [`reactions`] (what comes next, as [`intent::Intent`]s).
//!
//! **Recipe, an aggregate**: `events/src/<name>.rs`, one page here (`Command`, `Rejection`, state, `decide`, `evolve`, helpers,
//! tests), its line in [`Aggregates`](decider), and a flow. **A view or a reaction**: one file in its folder and one line in
//! `functions/src/stream/follow.rs`.

pub mod attachment;
pub mod call;
pub mod condition;
pub mod config;
pub mod decider;
pub mod delivery;
pub mod draft;
pub mod envelope;
pub mod intake;
pub mod intent;
pub mod numbers;
pub mod options;
pub mod reactions;
pub mod sourced;
pub mod ticket;
pub mod user_name;
pub mod views;
pub mod workflow;

pub use decider::{Decider, Refusal};
pub use envelope::Envelope;
pub use sourced::Sourced;
