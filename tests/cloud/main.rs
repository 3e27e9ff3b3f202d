//! These tests check a desk in the cloud. They run the contract tests of the cloud adapters and scenarios
//! that also run on a local desk. Other tests check behavior that exists only in the cloud.
//!
//! The script `localstack/up` writes environment variables that name the desk under test.

mod applications;
mod attachments;
mod automation;
mod callbacks;
mod cases;
mod console;
mod contracts;
mod dead_letters;
mod deployment;
mod desk;
mod faults;
mod fleet;
mod integrations;
mod notifications;
mod operators;
mod stream;

#[path = "../flows/documented.rs"]
mod documented;
#[path = "../flows/examples.rs"]
mod examples;
#[path = "../flows/fields.rs"]
mod fields;
#[path = "../flows/races.rs"]
mod races;
#[path = "../flows/tickets.rs"]
mod tickets;

pub(crate) use desk::TestDesk;
