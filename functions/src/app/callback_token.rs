//! Creates and checks callback tokens. A callback is a request of the desk that informs a client
//! app about a ticket. Each callback contains a token. The client app can send the token back to
//! the desk, to find out whether the callback comes from the desk.
//!
//! A token contains a ticket number, the id of the callback, an expiry time and a signature. Only the client app that
//! received the callback can use the token. The check does not use the token up, because a repeated callback contains a
//! token for the same callback.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::{AppCode, Moment, TicketSn};

/// Time for which a token is valid, in milliseconds (one week). All attempts to send a callback end
/// within this time.
pub const VALID_MS: i64 = 7 * 24 * 3_600_000;
/// Number of hexadecimal digits in the id of a callback.
const ID_DIGITS: usize = 32;

/// What a valid token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub ticket: TicketSn,
    /// The id of the callback, or `None` for a token of an earlier version of the desk.
    pub callback: Option<String>,
}

/// Returns a token for a callback about a ticket. The token is valid until the time `until`, and only for the client
/// app `app`. The signature in the token is computed with `key`.
pub fn sign(
    key: &[u8; 32],
    app: &AppCode,
    ticket: &TicketSn,
    callback: &str,
    until: Moment,
) -> String {
    let claim = format!("{}.{callback}.{ticket}", until.0);
    URL_SAFE_NO_PAD.encode(format!("{claim}.{}", mac(key, app, &claim)))
}

/// Checks a token. Returns `None` if the token has expired. Also returns `None` if this desk did not create the token for
/// this client app.
pub fn check(key: &[u8; 32], app: &AppCode, token: &str, now: Moment) -> Option<Proof> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token.trim()).ok()?).ok()?;
    let (claim, given) = text.rsplit_once('.')?;
    let (until, subject) = claim.split_once('.')?;
    // This code compares hashes of the two signatures, because the comparison of hashes takes
    // constant time. An attacker therefore cannot find the correct signature by measuring the time.
    let is_signed = blake3::hash(given.as_bytes()) == blake3::hash(mac(key, app, claim).as_bytes());
    let is_valid = is_signed && until.parse::<i64>().ok()? >= now.0;
    is_valid.then(|| match subject.split_once('.') {
        Some((callback, ticket)) if is_id(callback) => Proof {
            ticket: ticket.into(),
            callback: Some(callback.to_owned()),
        },
        _ => Proof {
            ticket: subject.into(),
            callback: None,
        },
    })
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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

    const CALLBACK: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_is_bound_to_key_application_ticket_callback_and_time() {
        let app = AppCode::from("app");
        let token = sign(&[1; 32], &app, &"REQ1".into(), CALLBACK, Moment(100));
        let proof = Proof {
            ticket: "REQ1".into(),
            callback: Some(CALLBACK.into()),
        };
        assert_eq!(check(&[1; 32], &app, &token, Moment(100)), Some(proof));
        for (key, app, now, what) in [
            ([1; 32], "app", 101, "the token is expired"),
            ([2; 32], "app", 100, "the token belongs to another desk"),
            ([1; 32], "other", 100, "the token belongs to another app"),
        ] {
            assert_eq!(
                check(&key, &app.into(), &token, Moment(now)),
                None,
                "{what}"
            );
        }
        let other = sign(&[1; 32], &app, &"REQ2".into(), CALLBACK, Moment(100));
        assert_ne!(token, other);
        let other = sign(
            &[1; 32],
            &app,
            &"REQ1".into(),
            &CALLBACK.replace('0', "1"),
            Moment(100),
        );
        assert_ne!(token, other);
        for wrong in ["", "x", &token[1..], "AAAA", "我"] {
            assert_eq!(check(&[1; 32], &app, wrong, Moment(0)), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_without_a_callback_stays_valid() {
        let app = AppCode::from("app");
        let claim = "100.REQ1";
        let signature = mac(&[1; 32], &app, claim);
        let token = URL_SAFE_NO_PAD.encode(format!("{claim}.{signature}"));
        let proof = Proof {
            ticket: "REQ1".into(),
            callback: None,
        };
        assert_eq!(check(&[1; 32], &app, &token, Moment(100)), Some(proof));
    }
}
