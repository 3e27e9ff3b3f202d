//! The event store: one commit is one row, holding all events of one command.

pub mod audit;
pub mod commit;
pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod in_order;
pub mod memory;
pub mod paged;
pub mod repository;
#[cfg(feature = "local")]
pub mod sqlite;
#[cfg(feature = "aws")]
pub mod squeeze;

use async_trait::async_trait;
use events::Moment;

pub use commit::{Commit, Hash, Head, Placed, Snapshot};

use crate::Error;

/// Most bytes of a commit as stored, body and snapshot together (DynamoDB's item limit is 400 KB; reference/event-sourcing.md 2.1).
pub const COMMIT_BYTES_MAX: usize = 350 * 1024;
/// Most bytes of a snapshot; a larger one is left out.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of bodies that one page of a read returns; a page holds at least one commit.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Where commits are kept, stream by stream. Everything else is derived from it.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Puts a commit if the place (stream, first) is free. Answers after it is durable.
    async fn append(&self, commit: Commit) -> Result<Appended, Error>;
    /// Reads one stream backwards from `before` (exclusive; the end if absent): at most `limit` commits and [`PAGE_BYTES_MAX`] bytes,
    /// newest first. Empty only when nothing is left.
    async fn back(&self, stream: &str, before: Option<i64>, limit: usize) -> Result<Vec<Commit>, Error>;
    /// Reads one stream forwards from the commit that starts at `from` or later.
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error>;
    /// The sequence of a stream's next event: 1 for a stream that does not exist.
    async fn next(&self, stream: &str) -> Result<i64, Error>;
    /// Reads every commit there is once, in whatever order is cheapest; for audits and for filling a feed anew.
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error>;
}

/// A journal whose commits also stand in one dense order.
#[async_trait]
pub trait Store: Journal {
    /// Reads the feed after a position: dense, in order, never changing once written.
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error>;
    /// The last position and its feed hash.
    async fn head(&self) -> Result<Head, Error>;
    /// Waits until the head is past `position`; returns at once if it is.
    async fn past(&self, position: i64);
    /// Returns whether a commit could be stored now: an error after a write has failed, until one succeeds again. Writes no commit.
    async fn writable(&self, _now: Moment) -> Result<(), Error> {
        Ok(())
    }
    /// Says whether the feed holds each stream's commits in their order. One that is built from a table's stream holds all of them, but now and
    /// then one before its predecessor ([`in_order`]).
    fn keeps_order(&self) -> bool {
        true
    }
}

/// Where a walk over the journal goes on; only the adapter that made it can read it.
pub type Cursor = String;

/// One page of a walk.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    pub commits: Vec<Commit>,
    /// What stands there and is no commit, in words.
    pub unreadable: Vec<String>,
    /// Absent at the end.
    pub next: Option<Cursor>,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    Stored {
        /// Where it stands in the feed, if the store knows that already: a feed that is built from a table's stream comes later.
        position: Option<i64>,
    },
    /// The place was taken, by this commit.
    Taken(Box<Commit>),
}

/// A walk over a store whose own positions are the cheapest order.
async fn walk_by_position(store: &dyn Store, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
    let after = from.and_then(|from| from.parse().ok()).unwrap_or_default();
    let page = store.feed(after, limit).await?;
    let next = page.last().map(|last| last.position.to_string());
    Ok(Walked { commits: page.into_iter().map(|placed| placed.commit).collect(), unreadable: Vec::new(), next })
}
