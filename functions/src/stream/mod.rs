//! Contains the functions that process new commits. The indexer builds the feed (the sequence of
//! all commits). The follower updates cards (the stored summaries of streams) and creates messages.
//! Projections combine the events of the feed into documents.

pub mod follow;
pub mod index;
pub mod parked;
pub mod project;
