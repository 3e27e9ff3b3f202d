//! Callback tokens: opaque texts that name a ticket and an expiry, signed for the app that receives
//! them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::{AppCode, Moment, TicketSn};

/// Validity of a token, in milliseconds: a week, which is longer than all attempts of a callback.
pub const VALID_MS: i64 = 7 * 24 * 3_600_000;

/// Returns a token for a ticket that only this app can verify, valid until an instant.
pub fn sign(key: &[u8; 32], app: &AppCode, ticket: &TicketSn, until: Moment) -> String {
    let claim = format!("{}.{ticket}", until.0);
    URL_SAFE_NO_PAD.encode(format!("{claim}.{}", mac(key, app, &claim)))
}

/// Returns the ticket of a valid token of this desk and app.
pub fn ticket_of(key: &[u8; 32], app: &AppCode, token: &str, now: Moment) -> Option<TicketSn> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token.trim()).ok()?).ok()?;
    let (claim, given) = text.rsplit_once('.')?;
    let (until, ticket) = claim.split_once('.')?;
    // Hashes are compared, so that the time of the comparison does not depend on where the texts
    // differ.
    let is_signed = blake3::hash(given.as_bytes()) == blake3::hash(mac(key, app, claim).as_bytes());
    (is_signed && until.parse::<i64>().ok()? >= now.0).then(|| TicketSn(ticket.to_owned()))
}

/// Returns the signature of a claim under the key of an app, which is derived from the desk's key.
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
            "it expires"
        );
        assert_eq!(
            ticket_of(&[2; 32], &app, &token, Moment(100)),
            None,
            "another desk's"
        );
        assert_eq!(
            ticket_of(&[1; 32], &"other".into(), &token, Moment(100)),
            None,
            "another application's"
        );
        assert_ne!(token, sign(&[1; 32], &app, &"REQ2".into(), Moment(100)));
        for wrong in ["", "x", &token[1..], "AAAA", "我"] {
            assert_eq!(ticket_of(&[1; 32], &app, wrong, Moment(0)), None, "{wrong}");
        }
    }
}
