//! Commits, and the hashes by which an audit detects a changed commit.

#[cfg(feature = "aws")]
pub mod compress;

use events::Moment;

/// A BLAKE3 hash, 32 bytes.
pub type Hash = [u8; 32];

/// Maximum bytes of a stream name, because stream names are parts of keys in every adapter.
pub const STREAM_BYTES_MAX: usize = 256;

/// All events of one command on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub stream: String,
    /// The sequence of the first event.
    pub first: i64,
    /// The number of events.
    pub n: i64,
    pub at: Moment,
    pub command_id: [u8; 16],
    /// The hash of the previous commit of the stream; zeros for the first commit.
    pub prev_hash: Hash,
    pub hash: Hash,
    /// UTF-8 JSON `{ meta, events[] }`; personal values are sealed.
    pub body: Vec<u8>,
    /// The state after this commit, which shortens a later load; `None` if no snapshot is stored.
    /// No hash covers the snapshot, so `audit verify` recomputes the state.
    pub snapshot: Option<Snapshot>,
}

/// A serialized state, and the fingerprint of the code that computed the state from the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub fingerprint: [u8; 16],
    pub state: Vec<u8>,
}

/// A commit with its position in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub position: i64,
    pub feed_hash: Hash,
    pub commit: Commit,
}

/// The position and the feed hash of the last commit of the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The position of the last commit; 0 for an empty ledger.
    pub position: i64,
    pub feed_hash: Hash,
}

impl Commit {
    /// Returns the sequence that follows the last event of this commit.
    pub fn next(&self) -> i64 {
        self.first + self.n
    }

    /// Computes the value that `hash` must have.
    pub fn expected_hash(&self) -> Hash {
        chain(&[
            b"ledgerdesk.commit.v1",
            &self.prev_hash,
            self.stream.as_bytes(),
            &self.first.to_be_bytes(),
            &self.n.to_be_bytes(),
            &self.command_id,
            &self.at.0.to_be_bytes(),
            &self.body,
        ])
    }

    /// Returns whether every adapter and the feed accept the stream name: 1 to [`STREAM_BYTES_MAX`]
    /// bytes, without whitespace and control characters.
    pub fn is_well_named(&self) -> bool {
        (1..=STREAM_BYTES_MAX).contains(&self.stream.len())
            && !self
                .stream
                .chars()
                .any(|c| c.is_whitespace() || c.is_control())
    }

    /// Returns the size of the stored commit in bytes: body, snapshot, key and fixed fields.
    pub fn size(&self) -> usize {
        self.body.len()
            + self.stream.len()
            + self
                .snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.state.len() + 16)
            + 8 * 3
            + 16
            + 64
    }
}

/// Computes the feed hash at `position` from the previous feed hash and the hash of the commit.
pub fn feed_hash(previous: &Hash, position: i64, hash: &Hash) -> Hash {
    chain(&[
        b"ledgerdesk.feed.v1",
        previous,
        &position.to_be_bytes(),
        hash,
    ])
}

/// Returns BLAKE3 over fields, each preceded by its length as a big-endian u64.
pub(crate) fn chain(fields: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    *hasher.finalize().as_bytes()
}

/// Returns lower-case hex, the format of hashes and ids in exports and audits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Parses hex digits of exactly N bytes; returns `None` for any other text.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    (text.len() == N * 2).then_some(bytes)
}

/// Returns a commit for tests that follows `previous` on the stream. Every byte of the command id
/// is `command`.
pub fn following(
    stream: &str,
    previous: Option<&Commit>,
    n: i64,
    command: u8,
    body: &[u8],
) -> Commit {
    let mut commit = Commit {
        stream: stream.into(),
        first: previous.map_or(1, Commit::next),
        n,
        at: Moment(1_795_000_000_000 + i64::from(command)),
        command_id: [command; 16],
        prev_hash: previous.map_or([0; 32], |previous| previous.hash),
        hash: [0; 32],
        body: body.into(),
        snapshot: None,
    };
    commit.hash = commit.expected_hash();
    commit
}
