//! Stories through the front door, on memory adapters.

mod callbacks;
mod documented;
mod errors;
mod examples;
mod fields;
mod following;
mod format;
mod lists;
mod malformed;
mod once;
mod people;
mod races;
mod tickets;

pub(crate) use tests::House;
