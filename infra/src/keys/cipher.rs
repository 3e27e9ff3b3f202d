//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, section 2.3). The first 16 bytes of the nonce change the key (HChaCha20).
//! `ring` encrypts with this changed key. TLS uses `ring` too, and its code is fast in unoptimized builds.

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::Key;
use super::seal::NONCE_BYTES;

/// Number of bytes that encryption adds to a text: the authentication tag.
pub(super) const TAG_BYTES: usize = 16;

/// Encrypts `text`, and returns the ciphertext with the tag. `data` is associated data: it is not encrypted, and the
/// decryption fails with other data.
pub(super) fn encrypt(key: &Key, nonce: &[u8; NONCE_BYTES], data: &[u8], text: &[u8]) -> Vec<u8> {
    let (key, nonce) = of_nonce(key, nonce);
    let mut sealed = Vec::with_capacity(text.len() + TAG_BYTES);
    sealed.extend_from_slice(text);
    key.seal_in_place_append_tag(nonce, Aad::from(data), &mut sealed)
        .expect("a text is far below the limit of the cipher, 256 GiB");
    sealed
}

/// Decrypts a result of [`encrypt`]. Returns `None` if the ciphertext, the nonce or the associated data was changed.
pub(super) fn decrypt(
    key: &Key,
    nonce: &[u8; NONCE_BYTES],
    data: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (key, nonce) = of_nonce(key, nonce);
    let mut opened = sealed.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(data), &mut opened)
        .ok()?
        .len();
    opened.truncate(length);
    Some(opened)
}

/// Returns the key of ChaCha20-Poly1305 and its nonce of 12 bytes for a nonce of 24 bytes.
fn of_nonce(key: &Key, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let (mut input, mut short) = ([0; 16], [0; 12]);
    input.copy_from_slice(&nonce[..16]);
    short[4..].copy_from_slice(&nonce[16..]);
    let key = hchacha::<R20>(&(*key).into(), &input.into());
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has 32 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of draft-irtf-cfrg-xchacha-03, A.3.1.
    #[test]
    fn the_vector_of_the_draft_is_encrypted_and_decrypted() {
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let data = bytes("50515253c0c1c2c3c4c5c6c7");
        let key: Key = bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
            .try_into()
            .unwrap();
        let nonce: [u8; NONCE_BYTES] = bytes("404142434445464748494a4b4c4d4e4f5051525354555657")
            .try_into()
            .unwrap();
        let expected = bytes(concat!(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39",
            "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
            "21f9664c97637da9768812f615c68b13b52e",
            "c0875924c1c7987947deafd8780acf49",
        ));
        assert_eq!(encrypt(&key, &nonce, &data, text), expected);
        assert_eq!(decrypt(&key, &nonce, &data, &expected).unwrap(), text);
        for at in 0..expected.len() {
            let mut changed = expected.clone();
            changed[at] ^= 1;
            assert_eq!(decrypt(&key, &nonce, &data, &changed), None);
        }
        assert_eq!(decrypt(&key, &nonce, b"other", &expected), None);
        assert_eq!(
            decrypt(&key, &nonce, &data, &expected[..TAG_BYTES - 1]),
            None
        );
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }
}
