//! What is stored, and the hashes that prove it.

use events::Moment;

/// 32 bytes of BLAKE3.
pub type Hash = [u8; 32];

/// Longest name of a stream: names are parts of keys everywhere.
pub const STREAM_BYTES_MAX: usize = 256;

/// All events of one command on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub stream: String,
    /// The sequence of its first event.
    pub first: i64,
    /// How many events it holds.
    pub n: i64,
    pub at: Moment,
    pub command_id: [u8; 16],
    /// The hash of the stream's commit before this one; zeros for the first.
    pub prev_hash: Hash,
    pub hash: Hash,
    /// UTF-8 JSON `{ meta, events[] }`, personal values sealed.
    pub body: Vec<u8>,
    /// The state after this commit; a convenience that no hash covers and every audit recomputes.
    pub snapshot: Option<Snapshot>,
}

/// A state, with the fingerprint of the code that folded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub fingerprint: [u8; 16],
    pub state: Vec<u8>,
}

/// A commit at its place in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub position: i64,
    pub feed_hash: Hash,
    pub commit: Commit,
}

/// The end of the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// 0 for an empty ledger.
    pub position: i64,
    pub feed_hash: Hash,
}

impl Commit {
    /// The sequence after its last event.
    pub fn next(&self) -> i64 {
        self.first + self.n
    }

    /// Computes what `hash` must be.
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

    /// Says whether its stream has a name that every adapter and the feed can hold: not empty, at most [`STREAM_BYTES_MAX`], without blanks and
    /// control characters.
    pub fn is_well_named(&self) -> bool {
        (1..=STREAM_BYTES_MAX).contains(&self.stream.len()) && !self.stream.chars().any(|c| c.is_whitespace() || c.is_control())
    }

    /// The bytes it takes, as an item: body, snapshot, key and the fixed fields.
    pub fn size(&self) -> usize {
        self.body.len() + self.stream.len() + self.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len() + 16) + 8 * 3 + 16 + 64
    }
}

/// The feed hash after one more commit.
pub fn feed_hash(previous: &Hash, position: i64, hash: &Hash) -> Hash {
    chain(&[b"ledgerdesk.feed.v1", previous, &position.to_be_bytes(), hash])
}

/// BLAKE3 over fields, each preceded by its length as a big-endian u64.
pub(crate) fn chain(fields: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    *hasher.finalize().as_bytes()
}

/// Lower-case hex, as exports and audits print hashes and ids.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads lower-case hex of exactly N bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    (text.len() == N * 2).then_some(bytes)
}
