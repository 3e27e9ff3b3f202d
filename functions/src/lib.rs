//! Contains the functions of the desk, the triggers that start the functions, the use cases, and
//! the hosts that run the functions.
//!
//! A trigger ([`http`], [`stream`], [`queue`], [`timer`]) starts a function. The function parses
//! its input, adds the current time and ids, and calls a use case in [`app`]. [`catalog`] lists all
//! functions. [`registry`] lists all aggregate types (kinds of objects with their own event
//! stream). Only [`host`] depends on the environment in which the functions run. [`cli`] is the
//! command line program.
//!
//! To add a function or a queue, create `functions/src/<trigger>/<name>.rs` and add one line to
//! [`catalog`]. Then add the AWS resources to `infra/deploy/template.yaml`, and add one test to
//! `tests/flows`.
//!
//! **Recipe, a resource of `/v1`**: To add a resource to the HTTP API `/v1`, create
//! `functions/src/http/api/<name>.rs` with the operations and the handler. Then add a `mod` line
//! and an entry to `functions/src/http/api/mod.rs`.

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
