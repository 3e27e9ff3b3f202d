//! The desk in the cloud that the environment names (`localstack/up` writes it): the adapters' contracts, the flows as they are on one machine,
//! and what only the cloud has.

mod attachments;
mod callbacks;
mod contracts;
mod dead_letters;
mod deployment;
mod faults;
mod house;
mod operators;
mod sites;
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

pub(crate) use house::House;
