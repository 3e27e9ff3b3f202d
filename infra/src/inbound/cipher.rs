//! Decrypts AES-256-CBC with PKCS7 padding, as WeCom and Feishu use it. The caller checks the signature first.

use aes::Aes256;
use cbc::Decryptor;
use cbc::cipher::{BlockDecryptMut as _, KeyIvInit as _};

use super::Refusal;

/// Size of a cipher block, in bytes.
pub(super) const BLOCK: usize = 16;

/// Decrypts a text and removes its padding. `padded_to` is the block size of the padding, in bytes. WeCom pads to 32
/// bytes, although the cipher has blocks of 16 bytes.
pub(super) fn decrypt(
    key: &[u8],
    iv: &[u8],
    sealed: &[u8],
    padded_to: usize,
) -> Result<Vec<u8>, Refusal> {
    if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
        return Err(Refusal::Sealed("its length"));
    }
    let cipher = Decryptor::<Aes256>::new_from_slices(key, iv);
    let mut cipher = cipher.map_err(|_| Refusal::Secret("a key of 32 bytes"))?;
    let mut plain = Vec::with_capacity(sealed.len());
    for chunk in sealed.chunks_exact(BLOCK) {
        let bytes: [u8; BLOCK] = chunk.try_into().expect("the chunk has the size of a block");
        let mut block = aes::Block::from(bytes);
        cipher.decrypt_block_mut(&mut block);
        plain.extend_from_slice(&block);
    }
    unpadded(plain, padded_to)
}

/// Removes PKCS7 padding: the last byte is the number of added bytes, and all of them are equal.
fn unpadded(mut plain: Vec<u8>, padded_to: usize) -> Result<Vec<u8>, Refusal> {
    let wrong = Err(Refusal::Sealed("its padding"));
    let Some(last) = plain.last().copied() else {
        return wrong;
    };
    let added = usize::from(last);
    if added == 0 || added > padded_to || added > plain.len() {
        return wrong;
    }
    let length = plain.len() - added;
    if plain[length..].iter().any(|byte| *byte != last) {
        return wrong;
    }
    plain.truncate(length);
    Ok(plain)
}

/// Encrypts blocks for tests. The caller adds the padding.
#[cfg(test)]
pub(super) fn encrypt(key: &[u8], iv: &[u8], padded: &[u8]) -> Vec<u8> {
    use cbc::cipher::BlockEncryptMut as _;
    let mut cipher = cbc::Encryptor::<Aes256>::new_from_slices(key, iv).unwrap();
    let mut sealed = Vec::new();
    for chunk in padded.chunks_exact(BLOCK) {
        let bytes: [u8; BLOCK] = chunk.try_into().unwrap();
        let mut block = aes::Block::from(bytes);
        cipher.encrypt_block_mut(&mut block);
        sealed.extend_from_slice(&block);
    }
    sealed
}
