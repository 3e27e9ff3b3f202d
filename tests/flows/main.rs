//! These tests run complete scenarios over the HTTP APIs of a desk that keeps all data in memory.

mod applications;
mod attachments;
mod auto_approval;
mod automation;
mod callbacks;
mod cases;
mod clients;
mod collaboration;
mod deadlines;
mod deciding;
mod definitions;
mod documented;
mod drafts;
mod errors;
mod examples;
mod fields;
mod fleet;
mod following;
mod format;
mod forms;
mod fuzz;
mod lists;
mod malformed;
mod matrix;
mod once;
mod people;
mod races;
mod reading;
mod refilling;
mod setting_up;
mod submitting;
mod tickets;
mod weaknesses;
mod workers;
mod workflow_builder;

pub(crate) use tests::TestDesk;
