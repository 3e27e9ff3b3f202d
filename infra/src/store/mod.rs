//! The event store port: one row stores one commit, which contains all events of one command.

pub mod audit;
pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
pub mod paged;
pub mod resequencer;
#[cfg(feature = "local")]
pub mod sqlite;

use async_trait::async_trait;
use events::Moment;

pub use crate::commit::{Commit, Hash, Head, Placed, Snapshot};

use crate::Error;

/// Maximum bytes of a stored commit, body and snapshot together (the item limit of DynamoDB is 400
/// KB; reference/event-sourcing.md 2.1).
pub const COMMIT_BYTES_MAX: usize = 350 * 1024;
/// Maximum bytes of a snapshot; a larger snapshot is not stored.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024;
/// Maximum bytes of the bodies in one page of a read; a page contains at least one commit.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Stores commits by stream; all other data is derived from the commits.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends a commit if the key (stream, first) is absent; returns after the commit is durable.
    async fn append(&self, commit: Commit) -> Result<Appended, Error>;
    /// Reads one stream backwards from the sequence `before` (exclusive; `None` is the end of the
    /// stream). Returns at most `limit` commits and [`PAGE_BYTES_MAX`] bytes, newest first. The
    /// page is empty only if no older commit exists.
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error>;
    /// Reads one stream forwards, beginning with the first commit whose `first` is at least `from`.
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error>;
    /// Returns the sequence of the next event of a stream; 1 for a stream that does not exist.
    async fn next(&self, stream: &str) -> Result<i64, Error>;
    /// Reads one page of a walk over every commit, in the cheapest order of the adapter. Audits and
    /// rebuilds of a feed use the walk.
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error>;
}

/// A journal with a feed: all its commits in one dense order.
#[async_trait]
pub trait Store: Journal {
    /// Reads at most `limit` commits of the feed after a position, in order. Positions are dense,
    /// and a stored position never changes.
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error>;
    /// Returns the last position and its feed hash.
    async fn head(&self) -> Result<Head, Error>;
    /// Waits until the head is after `position`; returns at once if the head is already there.
    async fn past(&self, position: i64);
    /// Returns an error after a failed write, until a write succeeds again. Writes no commit.
    async fn writable(&self, _now: Moment) -> Result<(), Error> {
        Ok(())
    }
    /// Returns whether the feed contains the commits of each stream in stream order. A feed that is
    /// built from a table stream is complete, but can contain a commit before its predecessor
    /// ([`resequencer`]).
    fn keeps_order(&self) -> bool {
        true
    }
}

/// The position at which a walk over the journal continues; only the adapter that created a cursor
/// can parse the cursor.
pub type Cursor = String;

/// One page of a walk over the journal.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    pub commits: Vec<Commit>,
    /// Descriptions of the rows that are not readable commits.
    pub unreadable: Vec<String>,
    /// The cursor of the next page; `None` at the end of the journal.
    pub next: Option<Cursor>,
}

/// The result of an append.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    Stored {
        /// Position in the feed; `None` if the feed is built later from a table stream.
        position: Option<i64>,
    },
    /// The key (stream, first) is already used; the variant contains the stored commit.
    Taken(Box<Commit>),
}

/// Walks over a store in the order of its feed positions.
async fn walk_by_position(
    store: &dyn Store,
    from: Option<Cursor>,
    limit: usize,
) -> Result<Walked, Error> {
    let after = from.and_then(|from| from.parse().ok()).unwrap_or_default();
    let page = store.feed(after, limit).await?;
    let next = page.last().map(|last| last.position.to_string());
    Ok(Walked {
        commits: page.into_iter().map(|placed| placed.commit).collect(),
        unreadable: Vec::new(),
        next,
    })
}
