//! Stores the feed (the ordered list of all commits) as immutable pages. Each page contains the
//! hash of the previous page. In addition, a chained hash covers all commits of the feed.
//!
//! Each page has a Merkle root. The root proves the position of one commit without the other
//! commits (reference/event-sourcing.md 2.3). The bodies of the commits are in an archive object,
//! which is stored before the page. The name of this object is the hash of its content, and the
//! page contains this name.
//!
//! A small archive object is stored inside its page to save cost. One PUT to object storage costs
//! as much as a table write of 8 KB (docs/decisions/0010-feed-pages-and-commit-positions.md).

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

/// Maximum number of commits in one page. With stream names of 40 bytes, such a page is much
/// smaller than the item limit of DynamoDB.
pub const ENTRIES_MAX: usize = 1000;
/// Maximum size in bytes of all entries of a page in their stored text format.
pub const ENTRIES_BYTES_MAX: usize = ENTRIES_MAX * 512;
/// Maximum size in bytes of an archive object (compressed commit bodies) that is stored inside its
/// page. Writing 8 KB to a DynamoDB table costs as much as one PUT to object storage.
pub const INLINE_BYTES_MAX: usize = 8 * 1024;
/// Maximum size in bytes of the commit bodies in the archive object of one page.
pub const BODIES_BYTES_MAX: usize = 16 << 20;

/// Stores pages of the feed (the ordered list of all commits). A stored page never changes.
#[async_trait]
pub trait Pages: Send + Sync {
    /// Stores a page if no page with its number exists. Returns true if the store contains the
    /// given page after the call.
    async fn put(&self, page: &Page) -> Result<bool, Error>;
    /// Returns the page with the given number. Returns `None` if the page does not exist.
    async fn get(&self, number: i64) -> Result<Option<Page>, Error>;
    /// Returns the page with the highest number. The read is consistent, so the result includes all
    /// earlier writes. Returns `None` if no page exists.
    async fn newest(&self) -> Result<Option<Page>, Error>;
}

/// The entry of one commit in a page. Entries are in the order of the feed (the ordered list of all
/// commits). The index of an entry in its page therefore determines the feed position of the
/// commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub stream: String,
    pub first: i64,
    pub n: i64,
    pub hash: Hash,
}

/// A page of the feed (the ordered list of all commits). It contains consecutive commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Number of the page. The first page has the number 1.
    pub number: i64,
    /// Feed position of the first commit in the page.
    pub base: i64,
    /// Time when the page was written. The clock of the writer provides this time.
    pub at: Moment,
    /// Feed hash (chained hash of all commits) before the first entry.
    pub feed_hash_before: Hash,
    /// Hash of the previous page. All bytes are zero for the first page.
    pub previous: Hash,
    /// Name of the archive object that contains the commit bodies. The name is the BLAKE3 hash of
    /// the uncompressed content, in hex.
    pub archive: String,
    /// The content of the archive object, if its size is at most [`INLINE_BYTES_MAX`] bytes. `None`
    /// if the content is stored as a separate blob.
    pub inline: Option<Vec<u8>>,
    pub entries: Vec<Entry>,
}

impl Page {
    /// Returns the page that follows `previous` and has one entry for each commit in `commits`.
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
            // A page never has an earlier time than the previous page, even if the clock is wrong.
            // The cloud function `index` needs this order when it searches the newest pages for a
            // commit.
            at: previous.map_or(at, |previous| at.max(previous.at)),
            feed_hash_before: head.feed_hash,
            previous: previous.map_or([0; 32], Page::hash),
            archive,
            inline: None,
            entries: commits.iter().map(entry).collect(),
        }
    }

    /// Returns this page with the archive object `packed` stored inside the page.
    #[must_use]
    pub fn with_inline(self, packed: Vec<u8>) -> Self {
        Self {
            inline: Some(packed),
            ..self
        }
    }

    /// Returns the position in the feed (the ordered list of all commits) that follows the last
    /// commit of this page.
    pub fn end(&self) -> i64 {
        self.base + i64::try_from(self.entries.len()).unwrap_or_default()
    }

    /// Returns the head of the feed (the ordered list of all commits) after this page: the position
    /// and the feed hash of the last commit.
    pub fn head(&self) -> Head {
        Head {
            position: self.end() - 1,
            feed_hash: self
                .feed_hashes()
                .last()
                .map_or(self.feed_hash_before, |(_, hash)| hash),
        }
    }

    /// Returns the feed position and the feed hash (chained hash) of each entry.
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

    /// Returns the root of the Merkle tree over the commit hashes of this page (RFC 9162 2.1.1,
    /// with BLAKE3).
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

    /// Returns the hash of this page. The next page contains this hash in `previous`.
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

    /// Returns the entries of this page as text for storage. Each entry is one line: `stream first
    /// n hash`.
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

    /// Parses the entries of a page from their stored text. Returns `None` if a line is not a valid
    /// entry.
    pub fn entries(text: &str) -> Option<Vec<Entry>> {
        let entry = |line: &str| {
            // The line is split from the right, so that spaces in the stream name cause no error.
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
