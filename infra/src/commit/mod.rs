//! Defines commits and computes their hashes. An audit uses these hashes to detect whether a commit
//! was changed.

#[cfg(feature = "aws")]
pub mod compress;

use events::Moment;

/// A BLAKE3 hash, 32 bytes.
pub type Hash = [u8; 32];

/// Maximum size in bytes of a stream name. Adapters use the stream name in database keys, and
/// databases limit the size of keys.
pub const STREAM_BYTES_MAX: usize = 256;

/// A commit: all events that one command adds to one event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub stream: String,
    /// Sequence number of the first event of this commit in the stream.
    pub first: i64,
    /// Number of events in this commit.
    pub n: i64,
    pub at: Moment,
    pub command_id: [u8; 16],
    /// Hash of the previous commit in the stream. All bytes are zero for the first commit.
    pub prev_hash: Hash,
    pub hash: Hash,
    /// The events and the metadata as a JSON text `{ meta, events[] }` in UTF-8. Values that
    /// describe people are encrypted.
    pub body: Vec<u8>,
    /// The state of the aggregate after this commit. A load of the stream can start at a snapshot,
    /// and then reads fewer commits. `None` if this commit contains no snapshot.
    ///
    /// The hashes do not include the snapshot. Therefore the command `audit verify` computes the
    /// state from the events and compares this state with the snapshot.
    pub snapshot: Option<Snapshot>,
}

/// A snapshot: the serialized state of an aggregate. The fingerprint identifies the version of the
/// code that computes the state from the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub fingerprint: [u8; 16],
    pub state: Vec<u8>,
}

/// A commit with its position in the feed (the ordered list of all commits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub position: i64,
    pub feed_hash: Hash,
    pub commit: Commit,
}

/// The head of the feed (the ordered list of all commits): the position and the feed hash of the
/// last commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Position of the last commit. 0 for an empty ledger.
    pub position: i64,
    pub feed_hash: Hash,
}

impl Commit {
    /// Returns the sequence number that follows the last event of this commit.
    pub fn next(&self) -> i64 {
        self.first + self.n
    }

    /// Computes the hash of this commit from its content. If the stored hash is different, the
    /// commit was changed.
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

    /// Returns whether the stream name is valid for all adapters and for the feed (the ordered list
    /// of all commits). A valid name has 1 to [`STREAM_BYTES_MAX`] bytes, without whitespace and
    /// control characters.
    pub fn is_well_named(&self) -> bool {
        (1..=STREAM_BYTES_MAX).contains(&self.stream.len())
            && !self
                .stream
                .chars()
                .any(|c| c.is_whitespace() || c.is_control())
    }

    /// Returns the size in bytes of this commit in the store. The size includes the body, the
    /// snapshot, the stream name and the fixed fields.
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

/// Computes the feed hash (chained hash of all commits) at a position. Its input is the previous
/// feed hash, the position, and the hash of the commit.
pub fn feed_hash(previous: &Hash, position: i64, hash: &Hash) -> Hash {
    chain(&[
        b"ledgerdesk.feed.v1",
        previous,
        &position.to_be_bytes(),
        hash,
    ])
}

/// Returns the BLAKE3 hash of several fields. Before each field, the function hashes the length of
/// the field (big-endian u64). Two different lists of fields can therefore not have the same hash
/// input.
pub(crate) fn chain(fields: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    *hasher.finalize().as_bytes()
}

/// Returns bytes as lower-case hex. Exports and audits write hashes and ids in this format.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Parses a text of hex digits into exactly `N` bytes. Returns `None` if the text has another
/// length or contains other characters.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    (text.len() == N * 2).then_some(bytes)
}

/// Returns a commit for tests. The commit follows the commit `previous` in the stream, and contains
/// `n` events. Every byte of the command id has the value `command`.
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
