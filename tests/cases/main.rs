//! These regression tests check faults that testers found when they tried out the product. The name of
//! each test describes the correct behavior. A note such as `(cases/first-use.md, fault F6)` at a test
//! names the report of the testers and the number of the fault. The reports are in the folder
//! `shared/cases`, which is outside this repository.
//!
//! Tests of the compiled program can also run against another build of the program:
//! `LEDGERDESK_PROGRAM=path/to/ledgerdesk cargo nextest run -p tests --test cases`.

mod administration;
mod api_bodies;
mod api_description;
mod backup;
mod command_line;
mod decisions;
mod documents;
mod erasure;
mod files;
mod hardening;
mod importing;
mod lists;
mod metrics;
mod times;
mod translations;
mod workflow_files;
