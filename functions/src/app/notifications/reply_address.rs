//! Creates and checks the addresses for replies to mails, such as `itsm+REQ2026112200001.5133<signature>@example.com`. The
//! signature binds the ticket, the recipient of the mail and a day of expiry. A reply to this address therefore belongs to
//! the ticket, and only its recipient can use the address.

use events::{Moment, PersonId, TicketSn};

/// Number of days for which a person can reply to a mail.
const VALID_DAYS: i64 = 90;
const DAY_MS: i64 = 24 * 3_600_000;
/// Number of hexadecimal digits of the day of expiry. Four digits are enough until the year 2149.
const DAY_DIGITS: usize = 4;
/// Number of hexadecimal digits of the signature (80 bits). The part of an address before `@` has at most 64 characters.
const MAC_DIGITS: usize = 20;
/// Maximum number of characters before `@` (RFC 5321, section 4.5.3.1.1).
const LOCAL_MAX: usize = 64;

/// Returns the address for replies to a mail about a ticket. `mailbox` is the address of the desk, `person` the recipient
/// of the mail, and `at` the time of the mail. Returns `None` if the address would not be valid.
pub fn sign(
    key: &[u8; 32],
    mailbox: &str,
    ticket: &TicketSn,
    person: &PersonId,
    at: Moment,
) -> Option<String> {
    let (local, domain) = mailbox.rsplit_once('@')?;
    let day = format!("{:04x}", at.0.div_euclid(DAY_MS) + VALID_DAYS);
    let is_plain = ticket
        .0
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-');
    let signed = format!(
        "{local}+{}.{day}{}",
        ticket.0,
        mac(key, &ticket.0, person, &day)
    );
    let is_valid = is_plain && day.len() == DAY_DIGITS && signed.len() <= LOCAL_MAX;
    is_valid.then(|| format!("{signed}@{domain}"))
}

/// Returns the ticket that an address for replies names. The signature is not checked, so this proves nothing.
/// Returns `None` for an address of another form.
pub fn ticket_in(address: &str) -> Option<TicketSn> {
    let (local, _) = address.rsplit_once('@')?;
    let (_, tag) = local.rsplit_once('+')?;
    let (ticket, token) = tag.rsplit_once('.')?;
    let is_token = token.len() == DAY_DIGITS + MAC_DIGITS
        && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_token && !ticket.is_empty()).then(|| ticket.to_ascii_uppercase().as_str().into())
}

/// Checks an address to which a person has sent a mail, and returns the ticket. Mail programs may change upper case to lower
/// case. Returns `None` if this desk did not create the address for this person, or if it has expired.
pub fn check(key: &[u8; 32], address: &str, person: &PersonId, now: Moment) -> Option<TicketSn> {
    let (local, _) = address.rsplit_once('@')?;
    let (_, tag) = local.rsplit_once('+')?;
    let (ticket, token) = tag.rsplit_once('.')?;
    let token = token.to_ascii_lowercase();
    if token.len() != DAY_DIGITS + MAC_DIGITS || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (day, given) = token.split_at(DAY_DIGITS);
    let expected = mac(key, ticket, person, day);
    // The comparison of hashes takes constant time. An attacker therefore cannot find the correct signature by measuring
    // the time.
    let is_signed = blake3::hash(given.as_bytes()) == blake3::hash(expected.as_bytes());
    let last = i64::from_str_radix(day, 16).ok()?;
    let is_valid = is_signed && now.0.div_euclid(DAY_MS) <= last;
    is_valid.then(|| ticket.to_ascii_uppercase().as_str().into())
}

fn mac(key: &[u8; 32], ticket: &str, person: &PersonId, day: &str) -> String {
    let claim = format!("reply|{}|{}|{day}", ticket.to_ascii_lowercase(), person.0);
    let hash = blake3::keyed_hash(key, claim.as_bytes()).to_hex();
    hash.as_str().chars().take(MAC_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [1; 32];
    const AT: Moment = Moment(1_796_000_000_000);

    fn signed() -> String {
        let ticket = TicketSn::from("REQ20261122000042");
        sign(&KEY, "itsm@example.com", &ticket, &"p-1".into(), AT).expect("an address")
    }

    #[test]
    fn an_address_is_bound_to_key_ticket_person_and_day() {
        let address = signed();
        assert!(address.starts_with("itsm+REQ20261122000042."), "{address}");
        assert!(address.ends_with("@example.com"), "{address}");
        let person = PersonId::from("p-1");
        let ticket = Some(TicketSn::from("REQ20261122000042"));
        assert_eq!(check(&KEY, &address, &person, AT), ticket);
        assert_eq!(ticket_in(&address), ticket);
        let lower = address.to_ascii_lowercase();
        assert_eq!(
            check(&KEY, &lower, &person, AT),
            ticket,
            "case does not matter"
        );
        let last = AT.plus_ms(VALID_DAYS * DAY_MS);
        assert_eq!(check(&KEY, &address, &person, last), ticket);
        let other_ticket = address.replace("42.", "43.");
        for (key, address, person, now, what) in [
            ([2; 32], address.as_str(), "p-1", AT, "another desk"),
            (KEY, other_ticket.as_str(), "p-1", AT, "another ticket"),
            (KEY, address.as_str(), "p-2", AT, "another person"),
            (
                KEY,
                address.as_str(),
                "p-1",
                last.plus_ms(DAY_MS),
                "expired",
            ),
        ] {
            assert_eq!(check(&key, address, &person.into(), now), None, "{what}");
        }
    }

    #[test]
    fn other_addresses_are_not_accepted() {
        for address in [
            "",
            "itsm@example.com",
            "itsm+REQ1@example.com",
            "itsm+REQ1.@example.com",
            "itsm+REQ1.5133@example.com",
            "itsm+REQ1.zzzzzzzzzzzzzzzzzzzzzzzz@example.com",
            "itsm+REQ1.513\u{e9}aaaaaaaaaaaaaaaaaaa@example.com",
        ] {
            assert_eq!(check(&KEY, address, &"p-1".into(), AT), None, "{address}");
            assert_eq!(ticket_in(address), None, "{address}");
        }
    }

    #[test]
    fn an_address_is_never_too_long_and_has_no_special_characters() {
        let made =
            |mailbox: &str, ticket: &str| sign(&KEY, mailbox, &ticket.into(), &"p-1".into(), AT);
        assert_eq!(made("itsm@example.com", &"R".repeat(60)), None);
        assert_eq!(made("itsm@example.com", "REQ 1"), None);
        assert_eq!(made("itsm", "REQ1"), None);
        let longest = made("abcdefghijklmnop@example.com", "REQ20261122000042");
        assert!(longest.is_some_and(|address| address.find('@').is_some_and(|at| at <= LOCAL_MAX)));
    }
}
