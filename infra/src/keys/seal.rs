//! Sealing: XChaCha20-Poly1305 under the subject's key, the subject as associated data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use events::Pid;
use serde_json::Value;

use super::Key;
use crate::{Error, Kind};

/// Bytes of a nonce; random ones never repeat at this length.
pub const NONCE_BYTES: usize = 24;

/// Seals a value: base64 of nonce and ciphertext.
pub fn seal(key: &Key, nonce: [u8; NONCE_BYTES], subject: &Pid, value: &Value) -> String {
    let text = value.to_string();
    let payload = Payload { msg: text.as_bytes(), aad: subject.as_str().as_bytes() };
    let sealed = XChaCha20Poly1305::new(key.into()).encrypt(&XNonce::from(nonce), payload).expect("a value is far below the cipher's limit");
    STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
}

/// Seals bytes that stand outside the ledger; `place` says where, so that they open nowhere else.
pub fn seal_bytes(key: &Key, nonce: [u8; NONCE_BYTES], place: &str, bytes: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: bytes, aad: place.as_bytes() };
    let sealed = XChaCha20Poly1305::new(key.into()).encrypt(&XNonce::from(nonce), payload).expect("a part is far below the cipher's limit");
    [nonce.as_slice(), &sealed].concat()
}

/// Opens sealed bytes; those that were changed, or stand elsewhere, are corrupt.
pub fn open_bytes(key: &Key, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let corrupt = || Error::new(Kind::Corrupt, format!("{place} does not open with its key"));
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(corrupt)?;
    let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
    XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(*nonce), payload).map_err(|_| corrupt())
}

/// Opens a sealed value; one that was changed, or belongs to somebody else, is corrupt.
pub fn open(key: &Key, subject: &Pid, sealed: &str) -> Result<Value, Error> {
    let corrupt = || Error::new(Kind::Corrupt, format!("a sealed value of {subject} does not open with its key"));
    let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| corrupt())?;
    let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(corrupt)?;
    let payload = Payload { msg: ciphertext, aad: subject.as_str().as_bytes() };
    let text = XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(*nonce), payload).map_err(|_| corrupt())?;
    serde_json::from_slice(&text).map_err(|_| corrupt())
}
