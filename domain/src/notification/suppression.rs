//! Suppresses an address of a person after a provider reported that the address is wrong. The desk then sends nothing more
//! to this address until the person enters another address, or until a person releases it.

use std::collections::BTreeMap;

use events::person::{AddressSuppressed, PersonEvent};
use events::{Moment, Personal};

/// Returns the event that suppresses the address `address` of the kind `kind`. `code` is the code in the response of the
/// provider.
pub fn suppressed(kind: &str, address: &Personal, code: &str) -> AddressSuppressed {
    AddressSuppressed {
        kind: kind.to_owned(),
        digest: Personal::new(address.subject.clone(), digest(kind, address).into()),
        code: code.to_owned(),
    }
}

/// Returns true if exactly this address is suppressed. An address that was entered later is not suppressed.
pub fn is_suppressed(
    suppressed: &BTreeMap<String, AddressSuppressed>,
    address: &Personal,
    kind: Option<&str>,
) -> bool {
    let Some((kind, one)) = kind.and_then(|kind| Some((kind, suppressed.get(kind)?))) else {
        return false;
    };
    !address.is_erased() && one.digest.value.as_str() == Some(digest(kind, address).as_str())
}

/// One event in the history of a person.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub event: &'a PersonEvent,
    /// The id of the event that caused this event.
    pub cause: &'a str,
    /// The time at which the event was stored.
    pub at: Moment,
}

/// Returns true if the history of a person shows that a report about an address was already processed: the report caused a
/// suppression, or the same address was suppressed or released after the report. `cause` is the id of the event with the
/// report, and `at` its time.
pub fn is_settled<'a>(
    history: impl IntoIterator<Item = Known<'a>>,
    suppressed: &AddressSuppressed,
    cause: &str,
    at: Option<Moment>,
) -> bool {
    let is_later = |known: &Known<'_>| at.is_some_and(|at| known.at > at);
    history.into_iter().any(|known| match known.event {
        PersonEvent::AddressSuppressed(one) if one.kind == suppressed.kind => {
            known.cause == cause || is_later(&known) && one.digest.value == suppressed.digest.value
        }
        PersonEvent::AddressReleased(one) => one.kind == suppressed.kind && is_later(&known),
        PersonEvent::AddressSuppressed(_) | PersonEvent::PreferencesChanged(_) => false,
    })
}

/// Returns a hash of an address. The event with the hash does not repeat the address.
fn digest(kind: &str, address: &Personal) -> String {
    let text = format!("{kind}|{}", address.value.as_str().unwrap_or_default());
    let hash = blake3::hash(text.as_bytes()).to_hex();
    hash.as_str().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use events::person::AddressReleased;

    use super::*;

    fn address(text: &str) -> Personal {
        Personal::new("p-1".into(), text.into())
    }

    fn known<'a>(event: &'a PersonEvent, cause: &'a str, at: i64) -> Known<'a> {
        Known {
            event,
            cause,
            at: Moment(at),
        }
    }

    #[test]
    fn a_report_is_processed_once_also_if_it_comes_again_later() {
        let of = |text: &str| suppressed("email", &address(text), "5.1.1");
        let (a, c) = (of("a@b.example"), of("c@b.example"));
        let first = PersonEvent::from(a.clone());
        let released = |kind: &str| {
            PersonEvent::from(AddressReleased {
                kind: kind.into(),
                by: "p-1".into(),
            })
        };
        let (report, later) = ("delivery-1:3", "delivery-2:3");
        let history = [known(&first, report, 10)];
        let settled = |suppressed, cause, at| {
            is_settled(history.iter().copied(), suppressed, cause, Some(Moment(at)))
        };
        assert!(settled(&a, report, 9), "the same report");
        assert!(settled(&a, later, 9), "suppressed after this report");
        assert!(!settled(&a, later, 10), "a new report");
        assert!(!settled(&c, later, 9), "another address");
        assert!(!is_settled([], &a, report, Some(Moment(9))));
        for (kind, at, expected) in [
            ("email", 19, true),
            ("email", 20, false),
            ("dingtalk", 19, false),
        ] {
            let event = released(kind);
            let history = [known(&event, "person-p-1", 20)];
            let found = is_settled(history, &a, later, Some(Moment(at)));
            assert_eq!(found, expected, "{kind} {at}");
        }
    }

    #[test]
    fn only_the_same_address_of_the_same_kind_is_suppressed() {
        let one = suppressed("email", &address("a@b.example"), "5.1.1");
        assert_eq!((one.kind.as_str(), one.code.as_str()), ("email", "5.1.1"));
        assert!(!one.digest.value.to_string().contains("a@b.example"));
        let all = BTreeMap::from([("email".to_owned(), one)]);
        assert!(is_suppressed(&all, &address("a@b.example"), Some("email")));
        assert!(!is_suppressed(&all, &address("c@b.example"), Some("email")));
        assert!(!is_suppressed(
            &all,
            &address("a@b.example"),
            Some("dingtalk")
        ));
        assert!(!is_suppressed(&all, &address("a@b.example"), None));
        let mut erased = address("a@b.example");
        erased.value = serde_json::Value::Null;
        assert!(!is_suppressed(&all, &erased, Some("email")));
    }
}
