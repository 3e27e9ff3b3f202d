//! Creates and checks callback tokens. A callback is a request of the desk that informs a client
//! app about a ticket. Each callback contains a token. The client app can send the token back to
//! the desk, to find out whether the callback comes from the desk.
//!
//! A token contains a ticket number, an expiry time and a signature. Only the client app that
//! received the callback can use the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::{AppCode, Moment, TicketSn};

/// Time for which a token is valid, in milliseconds (one week). All attempts to send a callback end
/// within this time.
pub const VALID_MS: i64 = 7 * 24 * 3_600_000;

/// Returns a token for a ticket. The token is valid until the time `until`, and only for the client
/// app `app`. The signature in the token is computed with `key`.
pub fn sign(key: &[u8; 32], app: &AppCode, ticket: &TicketSn, until: Moment) -> String {
    let claim = format!("{}.{ticket}", until.0);
    URL_SAFE_NO_PAD.encode(format!("{claim}.{}", mac(key, app, &claim)))
}

/// Checks a token and returns the ticket number in the token. Returns `None` if the token has
/// expired. Also returns `None` if this desk did not create the token for this client app.
pub fn ticket_of(key: &[u8; 32], app: &AppCode, token: &str, now: Moment) -> Option<TicketSn> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token.trim()).ok()?).ok()?;
    let (claim, given) = text.rsplit_once('.')?;
    let (until, ticket) = claim.split_once('.')?;
    // This code compares hashes of the two signatures, because the comparison of hashes takes
    // constant time. An attacker therefore cannot find the correct signature by measuring the time.
    let is_signed = blake3::hash(given.as_bytes()) == blake3::hash(mac(key, app, claim).as_bytes());
    (is_signed && until.parse::<i64>().ok()? >= now.0).then(|| TicketSn(ticket.to_owned()))
}

/// Returns the signature for a token. `claim` is the signed text, which contains the expiry time
/// and the ticket number. The signature key is derived from the app code and the secret key `key`
/// of the desk.
fn mac(key: &[u8; 32], app: &AppCode, claim: &str) -> String {
    let of_the_app = blake3::keyed_hash(key, app.as_str().as_bytes());
    blake3::keyed_hash(of_the_app.as_bytes(), claim.as_bytes())
        .to_hex()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_key_application_ticket_and_time() {
        let app = AppCode::from("app");
        let token = sign(&[1; 32], &app, &"REQ1".into(), Moment(100));
        assert_eq!(
            ticket_of(&[1; 32], &app, &token, Moment(100)),
            Some("REQ1".into())
        );
        assert_eq!(
            ticket_of(&[1; 32], &app, &token, Moment(101)),
            None,
            "the token is expired"
        );
        assert_eq!(
            ticket_of(&[2; 32], &app, &token, Moment(100)),
            None,
            "the token belongs to another desk"
        );
        assert_eq!(
            ticket_of(&[1; 32], &"other".into(), &token, Moment(100)),
            None,
            "the token belongs to another app"
        );
        assert_ne!(token, sign(&[1; 32], &app, &"REQ2".into(), Moment(100)));
        for wrong in ["", "x", &token[1..], "AAAA", "我"] {
            assert_eq!(ticket_of(&[1; 32], &app, wrong, Moment(0)), None, "{wrong}");
        }
    }
}
