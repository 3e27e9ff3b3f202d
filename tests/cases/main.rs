//! Faults that trying the product found, one test each: its name states the fault, its comment names the case. Tests that go through the real program also run
//! against another build: `LEDGERDESK_PROGRAM=path/to/ledgerdesk cargo nextest run -p tests --test cases` shows which of them fail there.

mod administration;
mod api_bodies;
mod backup;
mod command_line;
mod decisions;
mod documents;
mod erasure;
mod files;
mod hardening;
mod importing;
mod lists;
mod times;
mod workflow_files;
