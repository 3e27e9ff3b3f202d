//! Reads and writes the archive object of a feed page (a part of the ordered list of all commits).
//! The object contains the commits of the page with their bodies. Each commit is one JSON line. The
//! whole object is compressed with gzip.
//!
//! The name of the object is the BLAKE3 hash of the uncompressed text. The object does not contain
//! snapshots (serialized states), because they can be computed from the events.

use std::io::{Read as _, Write as _};

use events::Moment;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::commit::Commit;
use crate::commit::{hex, unhex};

/// One line of an archive object. The line contains one commit. The member `body` contains the
/// commit body as text. If the body is not UTF-8, the member `bytes` contains the body as hex.
#[derive(Serialize, Deserialize)]
struct Line {
    stream: String,
    first: i64,
    n: i64,
    at: i64,
    command_id: String,
    prev_hash: String,
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// Packs commits into an archive object. Returns the name of the object and its compressed content.
pub fn pack(commits: &[Commit]) -> Result<(String, Vec<u8>), Error> {
    let mut text = Vec::new();
    for commit in commits {
        let body = String::from_utf8(commit.body.clone());
        let line = Line {
            stream: commit.stream.clone(),
            first: commit.first,
            n: commit.n,
            at: commit.at.0,
            command_id: hex(&commit.command_id),
            prev_hash: hex(&commit.prev_hash),
            hash: hex(&commit.hash),
            bytes: body.is_err().then(|| hex(&commit.body)),
            body: body.ok(),
        };
        serde_json::to_writer(&mut text, &line).map_err(|error| {
            Error::because(
                crate::Kind::Corrupt,
                "cannot write an archive object",
                error,
            )
        })?;
        text.push(b'\n');
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packed.write_all(&text).and_then(|()| packed.finish());
    let packed = packed.map_err(|error| {
        Error::because(
            crate::Kind::Corrupt,
            "cannot compress an archive object",
            error,
        )
    })?;
    Ok((blake3::hash(&text).to_hex().to_string(), packed))
}

/// Reads the commits of an archive object. Returns an error if the hash of the content differs from
/// `name`.
pub fn unpack(name: &str, packed: &[u8]) -> Result<Vec<Commit>, Error> {
    let corrupt = |reason: &str| Error::corrupt(format!("archive object {name} {reason}"));
    let mut text = String::new();
    GzDecoder::new(packed)
        .read_to_string(&mut text)
        .map_err(|error| corrupt(&format!("cannot be decompressed: {error}")))?;
    if blake3::hash(text.as_bytes()).to_hex().as_str() != name {
        return Err(corrupt("does not match the hash in its name"));
    }
    let commit = |line: &str| {
        let line: Line = serde_json::from_str(line).ok()?;
        Some(Commit {
            stream: line.stream,
            first: line.first,
            n: line.n,
            at: Moment(line.at),
            command_id: unhex(&line.command_id)?,
            prev_hash: unhex(&line.prev_hash)?,
            hash: unhex(&line.hash)?,
            body: match (line.body, line.bytes) {
                (Some(body), _) => body.into_bytes(),
                (None, Some(bytes)) => (0..bytes.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(bytes.get(at..at + 2)?, 16).ok())
                    .collect::<Option<_>>()?,
                (None, None) => return None,
            },
            snapshot: None,
        })
    };
    text.lines()
        .map(commit)
        .collect::<Option<_>>()
        .ok_or_else(|| corrupt("has a line that is not a commit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::following;

    #[test]
    fn unpacked_commits_equal_the_packed_ones() {
        let commits = vec![
            following("a", None, 1, 1, "{\"我\":1}".as_bytes()),
            following("b", None, 2, 2, &[0xff, 0, 1]),
        ];
        let (name, packed) = pack(&commits).expect("packed");
        assert_eq!(unpack(&name, &packed).expect("unpacked"), commits);
        assert_eq!(
            pack(&commits).expect("packed").0,
            name,
            "the same content has the same name"
        );
        assert!(
            unpack(&"0".repeat(64), &packed)
                .expect_err("another name")
                .what
                .contains("does not match")
        );
        assert!(unpack(&name, &packed[..packed.len() / 2]).is_err());
    }
}
