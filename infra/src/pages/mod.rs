//! The feed as immutable pages, chained by commit hashes and by page hashes.
//!
//! A Merkle root per page proves the position of one commit without the other commits
//! (reference/event-sourcing.md 2.3). Commit bodies are stored first, in an archive object whose
//! name is the hash of its content. The page contains this name. A small archive object is stored
//! in the page itself. A PUT to a bucket would cost as much as a write of 8 KB to a table
//! (docs/decisions/0010-feed-pages-and-commit-positions.md).

pub mod archive;
pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;

use async_trait::async_trait;
use events::Moment;

use crate::Error;
use crate::commit::{Commit, Hash, Head};
use crate::commit::{chain, feed_hash, hex, unhex};

/// Maximum commits in one page; with stream names of 40 bytes, a page is far smaller than the item
/// limit of DynamoDB.
pub const ENTRIES_MAX: usize = 1000;
/// Maximum bytes of the entries of a page as text.
pub const ENTRIES_BYTES_MAX: usize = ENTRIES_MAX * 512;
/// Maximum bytes of an archive object that is stored in its page. Writing 8 KB to the table costs
/// as much as one PUT to the bucket.
pub const INLINE_BYTES_MAX: usize = 8 * 1024;
/// Maximum bytes of the bodies in the archive object of one page.
pub const BODIES_BYTES_MAX: usize = 16 << 20;

/// Stores pages; a stored page never changes.
#[async_trait]
pub trait Pages: Send + Sync {
    /// Puts a page if its number is absent; returns whether the page is stored.
    async fn put(&self, page: &Page) -> Result<bool, Error>;
    /// Returns the page with a number; `None` if the page does not exist.
    async fn get(&self, number: i64) -> Result<Option<Page>, Error>;
    /// Returns the page with the highest number, by a consistent read; `None` if no page exists.
    async fn newest(&self) -> Result<Option<Page>, Error>;
}

/// The entry of one commit in a page. The index of the entry in the page gives the position of the
/// commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub stream: String,
    pub first: i64,
    pub n: i64,
    pub hash: Hash,
}

/// A contiguous part of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The number of the page; the first page is number 1.
    pub number: i64,
    /// The position of the first entry.
    pub base: i64,
    /// The time of the put, by the clock of the writer.
    pub at: Moment,
    /// The feed hash before the first entry.
    pub feed_hash_before: Hash,
    /// The hash of the previous page; zeros for the first page.
    pub previous: Hash,
    /// The name of the archive object: the BLAKE3 hash of its uncompressed content, in hex.
    pub archive: String,
    /// The archive object itself, if the object has at most [`INLINE_BYTES_MAX`] bytes; `None` if
    /// the object is stored as a blob.
    pub inline: Option<Vec<u8>>,
    pub entries: Vec<Entry>,
}

impl Page {
    /// Returns the page that follows `previous` and lists `commits`.
    pub fn following(
        previous: Option<&Page>,
        at: Moment,
        archive: String,
        commits: &[Commit],
    ) -> Self {
        let entry = |commit: &Commit| Entry {
            stream: commit.stream.clone(),
            first: commit.first,
            n: commit.n,
            hash: commit.hash,
        };
        let head = previous.map_or_else(Head::default, Page::head);
        Self {
            number: previous.map_or(1, |previous| previous.number + 1),
            base: head.position + 1,
            // The time is never before the time of the previous page, even if the clock is wrong.
            // `index` relies on this order when it searches the newest pages for a commit.
            at: previous.map_or(at, |previous| at.max(previous.at)),
            feed_hash_before: head.feed_hash,
            previous: previous.map_or([0; 32], Page::hash),
            archive,
            inline: None,
            entries: commits.iter().map(entry).collect(),
        }
    }

    /// Returns the same page with the archive object `packed` stored inline.
    #[must_use]
    pub fn with_inline(self, packed: Vec<u8>) -> Self {
        Self {
            inline: Some(packed),
            ..self
        }
    }

    /// Returns the position after the last entry.
    pub fn end(&self) -> i64 {
        self.base + i64::try_from(self.entries.len()).unwrap_or_default()
    }

    /// Returns the head of the feed after this page.
    pub fn head(&self) -> Head {
        Head {
            position: self.end() - 1,
            feed_hash: self
                .feed_hashes()
                .last()
                .map_or(self.feed_hash_before, |(_, hash)| hash),
        }
    }

    /// Returns position and feed hash of each entry.
    pub fn feed_hashes(&self) -> impl Iterator<Item = (i64, Hash)> {
        let mut before = self.feed_hash_before;
        self.entries
            .iter()
            .zip(self.base..)
            .map(move |(entry, position)| {
                before = feed_hash(&before, position, &entry.hash);
                (position, before)
            })
    }

    /// Returns the root of the Merkle tree over the commit hashes (RFC 9162 2.1.1, with BLAKE3).
    pub fn root(&self) -> Hash {
        let mut level: Vec<Hash> = self
            .entries
            .iter()
            .map(|entry| node(&[&[0], &entry.hash]))
            .collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| {
                    if let [left, right] = pair {
                        node(&[&[1], left, right])
                    } else {
                        pair[0]
                    }
                })
                .collect();
        }
        level.first().copied().unwrap_or_else(|| node(&[]))
    }

    /// Returns the hash that the next page contains as `previous`.
    pub fn hash(&self) -> Hash {
        let fixed: [&[u8]; 4] = [
            &self.number.to_be_bytes(),
            &self.base.to_be_bytes(),
            &self.at.0.to_be_bytes(),
            &self.feed_hash_before,
        ];
        chain(&[
            b"ledgerdesk.page.v1",
            &self.previous,
            fixed[0],
            fixed[1],
            fixed[2],
            fixed[3],
            self.archive.as_bytes(),
            self.text().as_bytes(),
            &self.root(),
        ])
    }

    /// Formats the entries as stored: one per line, `stream first n hash`.
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        self.entries.iter().fold(
            String::new(),
            |mut text,
             Entry {
                 stream,
                 first,
                 n,
                 hash,
             }| {
                let _ = writeln!(text, "{stream} {first} {n} {}", hex(hash));
                text
            },
        )
    }

    /// Parses entries; `None` if a line is not an entry.
    pub fn entries(text: &str) -> Option<Vec<Entry>> {
        let entry = |line: &str| {
            // The line is split from the right, so that a space in a stream name does not shift the
            // other parts.
            let mut parts = line.rsplitn(4, ' ');
            let (hash, n, first, stream) = (
                unhex(parts.next()?)?,
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
                parts.next()?.to_owned(),
            );
            Some(Entry {
                stream,
                first,
                n,
                hash,
            })
        };
        text.lines().map(entry).collect()
    }
}

fn node(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::following;

    fn page(count: usize) -> Page {
        let commits: Vec<Commit> = (0..count)
            .map(|number| following(&format!("ticket-{number}"), None, 2, 1, b"{}"))
            .collect();
        Page::following(None, Moment(7), "a".into(), &commits)
    }

    #[test]
    fn entries_read_back_as_written() {
        let page = page(3);
        assert_eq!(Page::entries(&page.text()), Some(page.entries.clone()));
        assert_eq!(Page::entries("ticket-1 1 x 00"), None);
    }

    #[test]
    fn the_root_depends_on_every_entry_and_its_position() {
        for count in [1, 2, 3, 5, 8] {
            let page = page(count);
            for at in 0..count {
                let mut other = page.clone();
                other.entries[at].hash[31] ^= 1;
                assert_ne!(other.root(), page.root(), "{at} of {count}");
                assert_ne!(other.hash(), page.hash());
            }
            let mut swapped = page.clone();
            swapped.entries.rotate_left(1);
            assert!(count == 1 || swapped.root() != page.root());
        }
    }
}
