//! The token of a callback: an opaque text that says which ticket it belongs to and until when, signed with the desk's own key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::{Moment, TicketSn};

/// How long a receiver may verify a token: a week, longer than all attempts take.
pub const VALID_MS: i64 = 7 * 24 * 3_600_000;

/// Signs a token for a ticket.
pub fn sign(key: &[u8; 32], ticket: &TicketSn, until: Moment) -> String {
    let claim = format!("{}.{ticket}", until.0);
    URL_SAFE_NO_PAD.encode(format!("{claim}.{}", mac(key, &claim)))
}

/// Says whether a token is ours and still valid.
pub fn verify(key: &[u8; 32], token: &str, now: Moment) -> bool {
    let Some(text) = URL_SAFE_NO_PAD.decode(token.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return false };
    let Some((claim, given)) = text.rsplit_once('.') else { return false };
    let until = claim.split('.').next().and_then(|until| until.parse::<i64>().ok());
    // Comparing hashes of both sides takes the same time wherever they differ.
    blake3::hash(given.as_bytes()) == blake3::hash(mac(key, claim).as_bytes()) && until.is_some_and(|until| until >= now.0)
}

fn mac(key: &[u8; 32], claim: &str) -> String {
    blake3::keyed_hash(key, claim.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_key_ticket_and_time() {
        let token = sign(&[1; 32], &"REQ1".into(), Moment(100));
        assert!(verify(&[1; 32], &token, Moment(100)));
        assert!(!verify(&[1; 32], &token, Moment(101)), "it expires");
        assert!(!verify(&[2; 32], &token, Moment(100)), "another desk's");
        assert_ne!(token, sign(&[1; 32], &"REQ2".into(), Moment(100)));
        for wrong in ["", "x", &token[1..], "AAAA", "我"] {
            assert!(!verify(&[1; 32], wrong, Moment(0)), "{wrong}");
        }
    }
}
