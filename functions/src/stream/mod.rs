//! Consumers of commits: the feed indexer, the follower with parked streams, and projections.

pub mod follow;
pub mod index;
pub mod parked;
pub mod project;
