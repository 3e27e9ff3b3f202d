//! Defines the interface to the event store. One row of the store contains one commit: all events
//! that one command adds to a stream.

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

/// Maximum size in bytes of a stored commit: body and snapshot together. The maximum is lower than
/// the item limit of DynamoDB, which is 400 KB (reference/event-sourcing.md 2.1).
pub const COMMIT_BYTES_MAX: usize = 350 * 1024;
/// Maximum size in bytes of a snapshot (serialized state). A larger snapshot is not stored.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024;
/// Maximum size in bytes of all commit bodies that one read returns. A single larger commit is
/// still returned, so that a reader always makes progress.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Stores commits, ordered within each stream. The commits are the source of all other data of the
/// desk.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends a commit, and returns its position if the position is already known. If the stream
    /// already contains a commit that begins with the same sequence number, the function stores
    /// nothing and returns the existing commit. Returns after the commit is stored durably.
    async fn append(&self, commit: Commit) -> Result<Appended, Error>;
    /// Reads a stream backwards, newest commit first. If `before` is set, only commits before this
    /// sequence number are read. Returns at most `limit` commits with at most [`PAGE_BYTES_MAX`]
    /// bytes. The result is empty only if no earlier commit exists.
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error>;
    /// Reads a stream forwards, oldest commit first. Skips commits whose first event has a sequence
    /// number below `from`. Returns at most `limit` commits.
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error>;
    /// Returns the sequence number that the next event of a stream gets. The number is 1 if the
    /// stream does not exist.
    async fn next(&self, stream: &str) -> Result<i64, Error>;
    /// Reads one page of the commits of all streams. An adapter returns the commits in the order
    /// that it can read at the lowest cost. The function is used for audits, and to build the feed
    /// (the ordered list of all commits) again.
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error>;
}

/// A journal with a feed. The feed is the ordered list of all commits. The positions of the commits
/// have no gaps.
#[async_trait]
pub trait Store: Journal {
    /// Returns at most `limit` commits of the feed (the ordered list of all commits). All returned
    /// commits come after the position `after`. The position of a commit never changes.
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error>;
    /// Returns the head (the end) of the feed: the position of the last commit, and the feed hash
    /// (chained hash of all commits) at this position.
    async fn head(&self) -> Result<Head, Error>;
    /// Waits until the feed (the ordered list of all commits) contains a commit after `position`.
    /// If the feed already contains such a commit, the function returns at once.
    async fn past(&self, position: i64);
    /// Returns an error if the store is not writable. After a failed write, the function returns an
    /// error until a write succeeds. The check stores no commit.
    async fn writable(&self, _now: Moment) -> Result<(), Error> {
        Ok(())
    }
    /// Returns whether the feed (the list of all commits) contains the commits of each stream in
    /// the order of the stream.
    ///
    /// Some feeds are built from a DynamoDB table stream. Such a feed contains every commit, but a
    /// commit can come before an earlier commit of the same stream. The module [`resequencer`]
    /// corrects this order.
    fn keeps_order(&self) -> bool {
        true
    }
}

/// A text that determines where the next read of all commits starts. An adapter can parse only the
/// cursors that the same adapter created.
pub type Cursor = String;

/// One page of the commits of all streams.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    pub commits: Vec<Commit>,
    /// Descriptions of the rows that cannot be read as commits.
    pub unreadable: Vec<String>,
    /// The cursor with which the next page is read. `None` if this page is the last page.
    pub next: Option<Cursor>,
}

/// The result of appending a commit to the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    Stored {
        /// Position of the commit in the feed (the ordered list of all commits). `None` if the feed
        /// is built later from a DynamoDB table stream, so that the position is not known yet.
        position: Option<i64>,
    },
    /// The new commit was not stored, because the stream already contains a commit that begins with
    /// the same sequence number. The variant contains this stored commit. The stored commit is
    /// equal to the new commit if an earlier attempt stored the new commit.
    Taken(Box<Commit>),
}

/// Reads one page of all commits in the order of their positions in the feed (the ordered list of
/// all commits).
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
