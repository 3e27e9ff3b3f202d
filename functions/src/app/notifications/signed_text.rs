//! Creates and checks the tokens in the links of messages. A token contains a text with its signature. The signature
//! belongs to one purpose, so a token of one kind of link is not valid for another kind.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Maximum length of a token in a request, in bytes. Real tokens are shorter.
const TOKEN_MAX: usize = 300;
/// Number of hexadecimal digits of a signature (128 bits).
const MAC_DIGITS: usize = 32;

/// Returns the token that contains `text`.
pub(super) fn sign(key: &[u8; 32], purpose: &str, text: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{text}", mac(key, purpose, text)))
}

/// Returns the text in a token. Returns `None` if this desk did not create the token for this purpose.
pub(super) fn read(key: &[u8; 32], purpose: &str, token: &str) -> Option<String> {
    if token.len() > TOKEN_MAX {
        return None;
    }
    let signed = String::from_utf8(URL_SAFE_NO_PAD.decode(token.trim()).ok()?).ok()?;
    let (given, text) = signed.split_once('.')?;
    let expected = mac(key, purpose, text);
    // The comparison of two BLAKE3 hashes takes constant time.
    let is_signed = blake3::hash(given.as_bytes()) == blake3::hash(expected.as_bytes());
    is_signed.then(|| text.to_owned())
}

/// Returns the keyed hash of a text for one purpose: 32 hexadecimal digits.
pub(super) fn mac(key: &[u8; 32], purpose: &str, text: &str) -> String {
    let of_purpose = blake3::keyed_hash(key, purpose.as_bytes());
    let mac = blake3::keyed_hash(of_purpose.as_bytes(), text.as_bytes());
    mac.to_hex().as_str()[..MAC_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_its_desk_and_its_purpose() {
        let token = sign(&[1; 32], "purpose", "text.of.我");
        let text = Some("text.of.我".to_owned());
        assert_eq!(read(&[1; 32], "purpose", &token), text);
        assert_eq!(read(&[2; 32], "purpose", &token), None, "another desk");
        assert_eq!(read(&[1; 32], "other", &token), None, "another purpose");
        let long = sign(&[1; 32], "purpose", &"a".repeat(TOKEN_MAX));
        assert_eq!(read(&[1; 32], "purpose", &long), None, "too long");
    }
}
