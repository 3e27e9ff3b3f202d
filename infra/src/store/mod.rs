//! The event store: one commit is one row, holding all events of one command.

pub mod audit;
pub mod commit;
pub mod contract;
pub mod memory;
pub mod repository;
pub mod sqlite;

use async_trait::async_trait;

pub use commit::{Commit, Hash, Head, Placed, Snapshot};

use crate::Error;

/// Most bytes of a commit as stored, body and snapshot together (DynamoDB's item limit is 400 KB; reference/event-sourcing.md 2.1).
pub const COMMIT_BYTES_MAX: usize = 350 * 1024;
/// Most bytes of a snapshot; a larger one is left out.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of bodies that one page of a read returns; a page holds at least one commit.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Where commits are kept. Everything else is derived from it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Puts a commit if the place (stream, first) is free. Answers after it is durable.
    async fn append(&self, commit: Commit) -> Result<Appended, Error>;
    /// Reads one stream backwards from `before` (exclusive; the end if absent): at most `limit` commits and [`PAGE_BYTES_MAX`] bytes,
    /// newest first. Empty only when nothing is left.
    async fn back(&self, stream: &str, before: Option<i64>, limit: usize) -> Result<Vec<Commit>, Error>;
    /// Reads one stream forwards from the commit that starts at `from` or later.
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error>;
    /// Reads the feed after a position: dense, in order, never changing once written.
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error>;
    /// The sequence of a stream's next event: 1 for a stream that does not exist.
    async fn next(&self, stream: &str) -> Result<i64, Error>;
    /// The last position and its feed hash.
    async fn head(&self) -> Result<Head, Error>;
    /// Waits until the head is past `position`; returns at once if it is.
    async fn past(&self, position: i64);
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    Stored {
        position: i64,
    },
    /// The place was taken, by this commit.
    Taken(Box<Commit>),
}
