//! The token of a callback: an opaque text that says which ticket it belongs to and until when, signed for the application that it is sent to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::{AppCode, Moment, TicketSn};

/// How long a receiver may verify a token: a week, longer than all attempts take.
pub const VALID_MS: i64 = 7 * 24 * 3_600_000;

/// Signs a token for a ticket of an application.
pub fn sign(key: &[u8; 32], app: &AppCode, ticket: &TicketSn, until: Moment) -> String {
    let claim = format!("{}.{ticket}", until.0);
    URL_SAFE_NO_PAD.encode(format!("{claim}.{}", mac(key, app, &claim)))
}

/// Says whether a token is ours, was sent to this application, and is still valid.
pub fn verify(key: &[u8; 32], app: &AppCode, token: &str, now: Moment) -> bool {
    let Some(text) = URL_SAFE_NO_PAD.decode(token.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return false };
    let Some((claim, given)) = text.rsplit_once('.') else { return false };
    let until = claim.split('.').next().and_then(|until| until.parse::<i64>().ok());
    // Comparing hashes of both sides takes the same time wherever they differ.
    blake3::hash(given.as_bytes()) == blake3::hash(mac(key, app, claim).as_bytes()) && until.is_some_and(|until| until >= now.0)
}

/// Every application has a key of its own, made from the desk's.
fn mac(key: &[u8; 32], app: &AppCode, claim: &str) -> String {
    let of_the_app = blake3::keyed_hash(key, app.as_str().as_bytes());
    blake3::keyed_hash(of_the_app.as_bytes(), claim.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_key_application_ticket_and_time() {
        let app = AppCode::from("app");
        let token = sign(&[1; 32], &app, &"REQ1".into(), Moment(100));
        assert!(verify(&[1; 32], &app, &token, Moment(100)));
        assert!(!verify(&[1; 32], &app, &token, Moment(101)), "it expires");
        assert!(!verify(&[2; 32], &app, &token, Moment(100)), "another desk's");
        assert!(!verify(&[1; 32], &"other".into(), &token, Moment(100)), "another application's");
        assert_ne!(token, sign(&[1; 32], &app, &"REQ2".into(), Moment(100)));
        for wrong in ["", "x", &token[1..], "AAAA", "我"] {
            assert!(!verify(&[1; 32], &app, wrong, Moment(0)), "{wrong}");
        }
    }
}
