//! The consumers of commits. The indexer builds the feed, the follower updates cards (stored
//! summaries) and messages, and the projections build documents from the feed.

pub mod follow;
pub mod index;
pub mod parked;
pub mod project;
