//! Stories through the front door, on memory adapters.

mod attachments;
mod automation;
mod beside;
mod callbacks;
mod clients;
mod deciding;
mod definitions;
mod documented;
mod drafts;
mod drawing;
mod errors;
mod examples;
mod fields;
mod following;
mod format;
mod forms;
mod fuzz;
mod lists;
mod malformed;
mod matrix;
mod once;
mod passing;
mod people;
mod races;
mod reading;
mod setting_up;
mod submitting;
mod tickets;
mod weaknesses;

pub(crate) use tests::House;
