//! Triggers, use cases and hosts.
//!
//! A trigger ([`http`], [`stream`], [`queue`], [`timer`]) invokes a function. The handler of the
//! function parses the payload, adds time and ids, and calls a use case in [`app`]. [`catalog`]
//! lists the functions, and [`registry`] lists the aggregates. Only [`host`] depends on how an
//! invocation arrives. [`cli`] is the command line.
//!
//! To add a function or a queue, create `functions/src/<trigger>/<name>.rs` and add one line to
//! [`catalog`]. Then add the resources to `infra/deploy/template.yaml`, and one flow to
//! `tests/flows`.
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
