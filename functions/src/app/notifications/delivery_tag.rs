//! Creates and checks the keyed tag of a delivery. The id of a delivery is a hash without a key, so a colleague who knows
//! the ticket and the person can compute it. Each mail contains the id with the tag, and a report about a mail must
//! contain the same tag. Only the desk can compute the tag.

use events::delivery::Requested;
use infra::Error;
use infra::inbound::mail::{Report, TAG_DIGITS};

use super::signed_text;
use crate::App;

/// What the tags are used for, see [`signed_text`]. The text must never change.
const PURPOSE: &str = "reports about deliveries";

/// Returns the tag of a delivery. `delivery` is its id: 32 hexadecimal digits. All attempts to send the message have the
/// same tag, unless the key is replaced between them. Returns an empty text for a delivery that is older than the tags.
pub async fn tag(app: &App, requested: &Requested, delivery: &str) -> Result<String, Error> {
    if !requested.is_tagged {
        return Ok(String::new());
    }
    Ok(sign(&app.token_keys().await?.newest, delivery))
}

/// Returns true if a report is about the message of this delivery. A delivery that is older than the tags has none, so
/// its reports contain only its id. The event of the delivery records this, and not the time of the report.
pub async fn is_genuine(app: &App, requested: &Requested, report: &Report) -> Result<bool, Error> {
    if !requested.is_tagged {
        return Ok(report.tag.is_empty());
    }
    let keys = app.token_keys().await?;
    let is_signed = keys.first(|key| is_valid(key, &report.delivery, &report.tag).then_some(()));
    Ok(is_signed.is_some())
}

fn sign(key: &[u8; 32], delivery: &str) -> String {
    let mut tag = signed_text::mac(key, PURPOSE, delivery);
    tag.truncate(TAG_DIGITS);
    tag
}

fn is_valid(key: &[u8; 32], delivery: &str, tag: &str) -> bool {
    let expected = sign(key, delivery);
    // The comparison of two BLAKE3 hashes takes constant time.
    blake3::hash(tag.as_bytes()) == blake3::hash(expected.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_tag_is_bound_to_its_desk_and_its_delivery() {
        let tag = sign(&[1; 32], ID);
        assert_eq!(tag.len(), TAG_DIGITS);
        assert!(is_valid(&[1; 32], ID, &tag));
        assert!(!is_valid(&[2; 32], ID, &tag), "another desk");
        assert!(!is_valid(&[1; 32], &ID.replace('0', "1"), &tag));
        assert!(!is_valid(&[1; 32], ID, &tag[1..]), "a part of the tag");
        assert!(!is_valid(&[1; 32], ID, ""), "no tag");
    }
}
