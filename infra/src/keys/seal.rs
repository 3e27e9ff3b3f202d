//! Seals (encrypts) values with XChaCha20-Poly1305. A value is sealed with the key of the person
//! whom the value describes. The id of this person is the associated data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use events::PersonId;
use serde_json::Value;

use super::Key;
use super::cipher::{self, TAG_BYTES};
use crate::{Error, Kind};

/// Size of a nonce in bytes. With 24 random bytes, two nonces are practically never equal.
pub const NONCE_BYTES: usize = 24;

/// Encrypts a value with `key`, the encryption key of the person `subject`. The result is the nonce
/// followed by the ciphertext, in base64.
pub fn seal(key: &Key, nonce: [u8; NONCE_BYTES], subject: &PersonId, value: &Value) -> String {
    let text = value.to_string();
    let sealed = cipher::encrypt(key, &nonce, subject.as_str().as_bytes(), text.as_bytes());
    STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
}

/// Encrypts bytes that are stored outside the ledger, and returns the encrypted bytes. `key` is the
/// encryption key. `location` is the name of the blob that contains the bytes. If the bytes are
/// moved to another blob, their decryption fails.
pub fn seal_bytes(key: &Key, nonce: [u8; NONCE_BYTES], location: &str, bytes: &[u8]) -> Vec<u8> {
    let sealed = cipher::encrypt(key, &nonce, location.as_bytes(), bytes);
    [nonce.as_slice(), &sealed].concat()
}

/// The first bytes of data that is encrypted in chunks. Other encrypted data begins with a random
/// nonce. Such a nonce is practically never equal to this text.
const CHUNKED: &[u8; 8] = b"LDCHUNK1";
/// Size of a chunk in bytes before encryption. A file is read chunk by chunk, so many concurrent
/// readers need little memory. Encryption adds only 16 bytes to each chunk.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Number of bytes before the first chunk of encrypted data. These bytes are the text `CHUNKED` and
/// the nonce.
pub const CHUNKED_HEAD_BYTES: usize = CHUNKED.len() + NONCE_BYTES;

/// Encrypts bytes in chunks, so that each chunk can be decrypted separately. Returns the encrypted
/// bytes.
///
/// The associated data of a chunk contains the location of the data (the blob name) and the index
/// of the chunk. It also shows whether the chunk is the last chunk. The decryption therefore fails
/// if a chunk was moved or is missing.
pub fn seal_chunks(key: &Key, nonce: [u8; NONCE_BYTES], location: &str, bytes: &[u8]) -> Vec<u8> {
    let chunks = bytes.len().div_ceil(CHUNK_BYTES);
    let mut sealed = Vec::with_capacity(CHUNKED_HEAD_BYTES + bytes.len() + chunks * TAG_BYTES);
    sealed.extend_from_slice(CHUNKED);
    sealed.extend_from_slice(&nonce);
    for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
        let aad = chunk_location(location, index, index + 1 == chunks);
        let nonce = chunk_nonce(nonce, index);
        sealed.extend_from_slice(&cipher::encrypt(key, &nonce, aad.as_bytes(), chunk));
    }
    sealed
}

/// Returns the nonce from the start of data that is encrypted in chunks. Returns `None` if the data
/// is encrypted as a whole.
pub fn nonce_of_chunks(head: &[u8]) -> Option<[u8; NONCE_BYTES]> {
    head.strip_prefix(CHUNKED)?
        .get(..NONCE_BYTES)?
        .try_into()
        .ok()
}

/// Returns the byte range of one chunk in the encrypted data. The parameter `bytes` is the size of
/// the whole data before encryption.
pub fn range_of_chunk(index: usize, bytes: usize) -> std::ops::Range<usize> {
    let start = CHUNKED_HEAD_BYTES + index * (CHUNK_BYTES + TAG_BYTES);
    start..start + bytes.saturating_sub(index * CHUNK_BYTES).min(CHUNK_BYTES) + TAG_BYTES
}

/// Decrypts one chunk. Returns an error of the kind [`Kind::Corrupt`] if the chunk was changed, or
/// was moved to another location (blob name) or to another index.
pub fn open_chunk(
    key: &Key,
    nonce: [u8; NONCE_BYTES],
    location: &str,
    index: usize,
    is_last: bool,
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let aad = chunk_location(location, index, is_last);
    let nonce = chunk_nonce(nonce, index);
    cipher::decrypt(key, &nonce, aad.as_bytes(), sealed).ok_or_else(|| {
        Error::new(
            Kind::Corrupt,
            format!("chunk {index} of {location} does not open with its key"),
        )
    })
}

fn chunk_location(location: &str, index: usize, is_last: bool) -> String {
    format!(
        "{location}|{index}|{}",
        if is_last { "last" } else { "more" }
    )
}

/// Computes the nonce for one chunk, so that no two chunks have the same nonce. The last eight
/// bytes of `nonce` are combined by XOR with the index of the chunk.
fn chunk_nonce(mut nonce: [u8; NONCE_BYTES], index: usize) -> [u8; NONCE_BYTES] {
    for (byte, count) in nonce[NONCE_BYTES - 8..]
        .iter_mut()
        .zip((index as u64).to_be_bytes())
    {
        *byte ^= count;
    }
    nonce
}

/// Decrypts bytes that were encrypted as a whole or in chunks. Returns an error of the kind
/// [`Kind::Corrupt`] if the bytes were changed or were moved to another location (blob name).
pub fn open_bytes(key: &Key, location: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    if let Some(nonce) = nonce_of_chunks(sealed) {
        let chunks: Vec<&[u8]> = sealed[CHUNKED_HEAD_BYTES..]
            .chunks(CHUNK_BYTES + TAG_BYTES)
            .collect();
        let mut opened = Vec::with_capacity(sealed.len());
        for (index, chunk) in chunks.iter().enumerate() {
            opened.extend(open_chunk(
                key,
                nonce,
                location,
                index,
                index + 1 == chunks.len(),
                chunk,
            )?);
        }
        return if opened.is_empty() {
            Err(Error::new(
                Kind::Corrupt,
                format!("{location} has no chunk"),
            ))
        } else {
            Ok(opened)
        };
    }
    let corrupt = || {
        Error::new(
            Kind::Corrupt,
            format!("{location} does not open with its key"),
        )
    };
    let (nonce, ciphertext) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or_else(corrupt)?;
    cipher::decrypt(key, nonce, location.as_bytes(), ciphertext).ok_or_else(corrupt)
}

/// Decrypts a value that was encrypted with `key`, the encryption key of the person `subject`.
/// Returns an error of the kind [`Kind::Corrupt`] if the value was changed or was encrypted for
/// another person.
pub fn open(key: &Key, subject: &PersonId, sealed: &str) -> Result<Value, Error> {
    let corrupt = || {
        Error::new(
            Kind::Corrupt,
            format!("a sealed value of {subject} does not open with its key"),
        )
    };
    let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| corrupt())?;
    let (nonce, ciphertext) = bytes
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or_else(corrupt)?;
    let text =
        cipher::decrypt(key, nonce, subject.as_str().as_bytes(), ciphertext).ok_or_else(corrupt)?;
    serde_json::from_slice(&text).map_err(|_| corrupt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_open_separately_and_reject_any_change_move_or_omission() {
        let (key, nonce) = ([7; 32], [9; NONCE_BYTES]);
        for bytes in [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES - 5] {
            let plain: Vec<u8> = (0..bytes)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let sealed = seal_chunks(&key, nonce, "a/1", &plain);
            assert_eq!(open_bytes(&key, "a/1", &sealed).unwrap(), plain);
            let chunks = bytes.div_ceil(CHUNK_BYTES);
            for index in 0..chunks {
                let opened = open_chunk(
                    &key,
                    nonce_of_chunks(&sealed).unwrap(),
                    "a/1",
                    index,
                    index + 1 == chunks,
                    &sealed[range_of_chunk(index, bytes)],
                );
                assert_eq!(
                    opened.unwrap(),
                    plain[index * CHUNK_BYTES..bytes.min((index + 1) * CHUNK_BYTES)]
                );
            }
            assert!(open_bytes(&key, "a/2", &sealed).is_err());
            let mut changed = sealed.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(open_bytes(&key, "a/1", &changed).is_err());
        }
        let two = seal_chunks(&key, nonce, "a/1", &vec![1; 2 * CHUNK_BYTES]);
        let first = range_of_chunk(0, 2 * CHUNK_BYTES);
        assert!(
            open_bytes(&key, "a/1", &two[..first.end]).is_err(),
            "the last chunk is missing"
        );
        let swapped = [&two[..first.start], &two[first.end..], &two[first]].concat();
        assert!(open_bytes(&key, "a/1", &swapped).is_err());
        assert!(
            open_bytes(&key, "a/1", &two[..CHUNKED_HEAD_BYTES]).is_err(),
            "no chunk is left"
        );
    }

    #[test]
    fn bytes_sealed_in_one_piece_open() {
        let sealed = seal_bytes(&[7; 32], [9; NONCE_BYTES], "a/1", b"plain text");
        assert_eq!(nonce_of_chunks(&sealed), None);
        assert_eq!(open_bytes(&[7; 32], "a/1", &sealed).unwrap(), b"plain text");
    }
}
