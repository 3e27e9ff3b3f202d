//! Where the world reaches us: one file per function.
//!
//! A delivery comes in ([`http`], [`stream`], [`queue`], [`timer`]), a handler parses it and stamps time and ids, the domain decides,
//! the ledger keeps it. [`catalog`] lists the functions; [`host`] is the only place that knows how a delivery arrives; [`cli`] is for people.
//!
//! **Recipe, a function**: `functions/src/<trigger>/<name>.rs`, one line in [`catalog`], one flow in `tests/flows`.

pub mod app;
pub mod catalog;
#[cfg(feature = "local")]
pub mod cli;
pub mod host;
pub mod http;
pub mod queue;
pub mod stream;
pub mod timer;

pub use app::App;
