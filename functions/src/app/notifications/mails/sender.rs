//! Finds the proven sender of a mail.

use domain::notification::Notification;
use domain::notification::delivery::Delivery;
use events::channel_account::Defined;
use events::{PersonId, TicketSn};
use infra::Error;
use infra::channel::email;
use infra::inbound::mail::{Mail, NotForDesk, is_proven, mark_of, not_for_desk};
use infra::inbound::{Inbound as _, ses};

use super::KIND;
use crate::App;
use crate::app::cards::{CardList, documents};
use crate::app::notifications::{identities, preferences, reply_address};

/// Maximum number of addresses for replies that the desk checks in one mail.
const ADDRESSES_MAX: usize = 5;
/// Maximum number of earlier mails in which the desk looks for the person of an address for replies.
const REFERENCES_MAX: usize = 10;
/// Maximum number of notifications of a ticket in which the desk looks for the person of an address for replies.
const NOTIFICATIONS_MAX: usize = 300;

/// The proven sender of a mail.
pub(super) struct Sender {
    pub(super) person: PersonId,
    /// The ticket to which the mail belongs.
    pub(super) ticket: Option<TicketSn>,
    /// True if the mail was sent to an address for replies, which is valid for the ticket only.
    pub(super) is_reply: bool,
}

/// What is known about the sender of a mail.
pub(super) enum Found {
    Sender(Sender),
    /// The relay has checked the sender, but the mail is not for the desk. Another person can have sent it again.
    NotForDesk(PersonId, NotForDesk),
    /// Nothing proves the sender, or the sender is forged.
    Unproven,
}

/// Returns true if the relay of the account, or SES, has checked that the mail comes from the domain of its sender.
pub(super) fn is_checked(account: Option<&Defined>, platform: &str, mail: &Mail) -> bool {
    if platform == ses::Ses.name() {
        return is_proven(&mail.checked, ses::SERVER, "dmarc", &mail.from);
    }
    let trusted = account.and_then(email::trusted_check);
    trusted.is_some_and(|(server, method)| is_proven(&mail.checked, server, method, &mail.from))
}

/// Returns true if the relay of the account, or SES, states that the mail does not come from the domain of its sender. The
/// result is false if the relay made no check, for example of a mail inside the organization.
pub(super) fn is_forged(account: Option<&Defined>, platform: &str, mail: &Mail) -> bool {
    let trusted = if platform == ses::Ses.name() {
        Some((ses::SERVER, "dmarc"))
    } else {
        account.and_then(email::trusted_check)
    };
    trusted.is_some_and(|(server, method)| {
        mail.checked.iter().any(|one| {
            one.server.eq_ignore_ascii_case(server) && one.method == method && one.is_failed
        })
    })
}

/// Finds the sender of a mail. `account` is the channel account, and `platform` the name of the source.
pub(super) async fn sender(
    app: &App,
    account: Option<&Defined>,
    platform: &str,
    mail: &Mail,
) -> Result<Found, Error> {
    let is_checked = is_checked(account, platform, mail);
    // A forwarded mail contains the address for replies too, so this address does not prove a forged sender.
    if mail.from.is_empty() || is_forged(account, platform, mail) {
        return Ok(Found::Unproven);
    }
    // A relay writes the address into the headers of each mail that it delivers. Only the sender writes `To` and `Cc`.
    let written = mail.to.iter().chain(&mail.cc);
    let candidates = written.filter_map(|address| {
        let ticket = reply_address::ticket_in(address)?;
        Some((address, ticket))
    });
    for (number, (address, ticket)) in candidates.take(ADDRESSES_MAX).enumerate() {
        // Everybody can send a mail to such addresses, and a search reads many notifications.
        let is_searched = number == 0;
        let Some(person) = recipient(app, mail, address, &ticket, is_searched).await? else {
            continue;
        };
        // Another person can get the address from a forwarded mail, so the sender must be the person, too.
        if is_address_of(app, &person, &mail.from).await? {
            return Ok(Found::Sender(Sender {
                person,
                ticket: Some(ticket),
                is_reply: true,
            }));
        }
    }
    if !is_checked {
        return Ok(Found::Unproven);
    }
    let Some(person) = identities::person_of(app, KIND, &mail.from).await? else {
        return Ok(Found::Unproven);
    };
    let addresses = account.map(email::own_addresses).unwrap_or_default();
    let server = server(account, platform);
    let now = app.ledger.clock.now();
    Ok(match not_for_desk(mail, &addresses, server, now) {
        Some(reason) => Found::NotForDesk(person, reason),
        None => Found::Sender(Sender {
            person,
            ticket: named_ticket(mail),
            is_reply: false,
        }),
    })
}

/// Returns the name of the relay whose checks the desk trusts. The text is empty if it trusts none.
fn server<'a>(account: Option<&'a Defined>, platform: &str) -> &'a str {
    if platform == ses::Ses.name() {
        return ses::SERVER;
    }
    let trusted = account.and_then(email::trusted_check);
    trusted.map_or("", |(server, _)| server)
}

/// Returns the person for whom the desk made an address for replies. The address itself does not name the person. The
/// person got one of the mails to which this mail replies. If `is_searched` is true, the person can also have a
/// notification about the ticket.
async fn recipient(
    app: &App,
    mail: &Mail,
    address: &str,
    ticket: &TicketSn,
    is_searched: bool,
) -> Result<Option<PersonId>, Error> {
    let keys = app.token_keys().await?;
    let now = app.ledger.clock.now();
    let is_of = |person: &PersonId| {
        keys.first(|key| reply_address::check(key, address, person, now))
            .is_some()
    };
    let ids = mail.references.iter().rev().filter_map(|id| mark_of(id));
    for mark in ids.take(REFERENCES_MAX) {
        let stream = format!("delivery-{}", mark.delivery);
        let state = app.ledger.load::<Delivery>(&stream).await?.aggregate.0;
        if let Some(requested) = state.requested.filter(|one| is_of(&one.person)) {
            return Ok(Some(requested.person));
        }
    }
    if !is_searched {
        return Ok(None);
    }
    let list = CardList::below("ticket", ticket.as_str());
    let found = documents::<Notification>(app, &list, 1, NOTIFICATIONS_MAX).await?;
    let cards = found.cards::<Notification>(&app.ledger).await?;
    let mut people = cards.into_iter().filter_map(|(_, card)| card.requested);
    Ok(people
        .find(|requested| is_of(&requested.person))
        .map(|requested| requested.person))
}

/// Returns true if the preferences of a person contain this mail address.
async fn is_address_of(app: &App, person: &PersonId, from: &str) -> Result<bool, Error> {
    let preferences = preferences::read(app, person).await?;
    let known = preferences.addresses.get(KIND);
    let known = known.and_then(|known| known.value.as_str());
    Ok(known.is_some_and(|known| known.eq_ignore_ascii_case(from)))
}

/// Returns the ticket that a mail names: in the ids of the mails to which it replies, or at the beginning of its
/// subject, such as `[REQ2026112200001]`. The name proves nothing; the rights of the person are checked later.
fn named_ticket(mail: &Mail) -> Option<TicketSn> {
    let mut references = mail.references.iter().rev();
    let of_references = references.find_map(|id| {
        let (local, _) = id.split_once('@')?;
        local.strip_prefix("ticket.").map(TicketSn::from)
    });
    of_references.or_else(|| {
        let (_, rest) = mail.subject.split_once('[')?;
        let (number, _) = rest.split_once(']')?;
        let is_number = !number.is_empty()
            && number.len() <= 64
            && number
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_number.then(|| TicketSn::from(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_named_by_references_or_by_the_subject() {
        let of = |references: &[&str], subject: &str| {
            let mail = Mail {
                references: references.iter().map(|&id| id.to_owned()).collect(),
                subject: subject.to_owned(),
                ..Mail::default()
            };
            named_ticket(&mail).map(|sn| sn.0)
        };
        let found = Some("REQ20261122000042".to_owned());
        assert_eq!(of(&["ticket.REQ20261122000042@desk.example"], ""), found);
        assert_eq!(
            of(&["other@desk.example"], "Re: [REQ20261122000042] x"),
            found
        );
        assert_eq!(of(&[], "Re: [a b] x"), None);
        assert_eq!(of(&[], "hello"), None);
    }
}
