//! Triggers, use cases and hosts.
//!
//! A trigger ([`http`], [`stream`], [`queue`], [`timer`]) invokes a function. Its handler parses the
//! payload, adds time and ids, and calls a use case in [`app`]. [`catalog`] lists the functions, and
//! [`registry`] lists the aggregates. Only [`host`] depends on how an invocation arrives. [`cli`] is
//! the command line.
//!
//! **Recipe, a function or a queue**: `functions/src/<trigger>/<name>.rs`, one line in [`catalog`],
//! its resources in `infra/deploy/template.yaml`, one flow in `tests/flows`.
//!
//! **Recipe, a resource of `/v1`**: add `functions/src/http/api/<name>.rs` with its operations and its
//! handler, and its `mod` line and its entry in `functions/src/http/api/mod.rs`.

pub mod app;
pub mod catalog;
#[cfg(feature = "local")]
pub mod cli;
pub mod host;
pub mod http;
pub mod queue;
pub mod registry;
pub mod stream;
pub mod timer;

pub use app::App;
