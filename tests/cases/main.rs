//! Regression tests for faults that product trials found. The name of a test states the correct
//! behavior. The comment names the case. Tests of the real program can also run against another
//! build: `LEDGERDESK_PROGRAM=path/to/ledgerdesk cargo nextest run -p tests --test cases`.

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
