//! Regression tests for faults that were found when the product was tried out (product trials). The
//! name of a test states the correct behavior. The comment names the trial and the case that showed
//! the fault.
//! Tests of the real program can also run against another build:
//! `LEDGERDESK_PROGRAM=path/to/ledgerdesk cargo nextest run -p tests --test cases`.

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
