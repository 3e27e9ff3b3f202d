//! Contains the triggers, the use cases and the hosts.
//!
//! A trigger ([`http`], [`stream`], [`queue`], [`timer`]) starts a function. The handler of the
//! function parses the input, adds the time and ids, and calls a use case in [`app`]. [`catalog`]
//! lists the functions, and [`registry`] lists the aggregates. Only [`host`] depends on the
//! environment in which functions run. [`cli`] is the command line.
//!
//! To add a function or a queue, create `functions/src/<trigger>/<name>.rs` and add one line to
//! [`catalog`]. Then add the resources to `infra/deploy/template.yaml`, and add one test to
//! `tests/flows`.
//!
//! **Recipe, a resource of `/v1`**: To add a resource, create `functions/src/http/api/<name>.rs`
//! with the operations and the handler. Then add a `mod` line and an entry to
//! `functions/src/http/api/mod.rs`.

pub mod app;
pub mod catalog;
#[cfg(feature = "local")]
pub mod cli;
pub mod host;
pub mod http;
pub mod mqtt;
pub mod queue;
pub mod registry;
pub mod stream;
pub mod timer;

pub use app::App;
