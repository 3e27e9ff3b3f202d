//! The interface to the event store. One row stores one commit, which contains all events of one
//! command.

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

/// Maximum size in bytes of a stored commit: body and snapshot together. The item limit of DynamoDB
/// is 400 KB (reference/event-sourcing.md 2.1).
pub const COMMIT_BYTES_MAX: usize = 350 * 1024;
/// Maximum size in bytes of a snapshot. A larger snapshot is not stored.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024;
/// Maximum size in bytes of all commit bodies that one read returns. A read returns at least one
/// commit, if a commit exists.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Stores commits, ordered within each stream. All other data of the desk is derived from the
/// commits.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends a commit if its key (stream, first) is not in use. Returns after the commit is
    /// stored durably.
    async fn append(&self, commit: Commit) -> Result<Appended, Error>;
    /// Reads a stream backwards, newest commit first. Reads only events before the sequence number
    /// `before`; `None` starts at the end of the stream. Returns at most `limit` commits with at
    /// most [`PAGE_BYTES_MAX`] bytes. The result is empty only if no older commit exists.
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error>;
    /// Reads a stream forwards. Starts at the first commit whose `first` is at least `from`.
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error>;
    /// Returns the sequence number of the next event of a stream. Returns 1 if the stream does not
    /// exist.
    async fn next(&self, stream: &str) -> Result<i64, Error>;
    /// Reads one page of all commits of all streams, in the order that is cheapest for the adapter.
    /// Audits and rebuilds of the feed use this function.
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error>;
}

/// A journal with a feed. The feed is the order of all commits, numbered without gaps.
#[async_trait]
pub trait Store: Journal {
    /// Returns at most `limit` commits of the feed after the position `after`, in order. Positions
    /// have no gaps, and the position of a commit never changes.
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error>;
    /// Returns the head of the feed: the last position and its feed hash.
    async fn head(&self) -> Result<Head, Error>;
    /// Waits until the feed contains a commit after `position`. Returns at once if such a commit
    /// exists.
    async fn past(&self, position: i64);
    /// Checks whether the store can be written. After a failed write, returns an error until a
    /// write succeeds. The check stores no commit.
    async fn writable(&self, _now: Moment) -> Result<(), Error> {
        Ok(())
    }
    /// Returns whether the commits of each stream are in the feed in the order of the stream.
    ///
    /// A feed that is built from a DynamoDB table stream contains every commit. However, a commit
    /// can come before an earlier commit of the same stream; [`resequencer`] corrects this order.
    fn keeps_order(&self) -> bool {
        true
    }
}

/// The place where a read of all commits continues. Only the adapter that created a cursor can
/// parse the cursor.
pub type Cursor = String;

/// One page of a read of all commits.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    pub commits: Vec<Commit>,
    /// Descriptions of the rows that cannot be read as commits.
    pub unreadable: Vec<String>,
    /// The cursor of the next page. `None` if all commits are read.
    pub next: Option<Cursor>,
}

/// The result of an append.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    Stored {
        /// Position of the commit in the feed. `None` if the feed is built later, from a table
        /// stream.
        position: Option<i64>,
    },
    /// Another commit or the same commit already uses the key (stream, first). The variant contains
    /// the stored commit.
    Taken(Box<Commit>),
}

/// Reads one page of all commits in the order of their feed positions.
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
