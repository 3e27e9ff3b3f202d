//! Finds the addresses of the people whom a step adds to a chat group or removes from it.

use std::collections::BTreeSet;

use domain::notification::chat_group::ChatGroup;
use domain::notification::person::Person;
use domain::notification::suppression::is_suppressed;
use events::PersonId;
use events::chat_group::{LeftOut, LeftOutReason, Member};
use infra::Error;

use crate::App;
use crate::app::notifications::addresses;

/// People with their addresses, and the people who are left out.
#[derive(Debug, Default)]
pub(super) struct Addressed {
    pub(super) members: Vec<Member>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Addressed {
    /// Returns the addresses, each once, without the address of the owner of the group.
    pub(super) fn addresses(&self, owner: &str) -> Vec<&str> {
        distinct(self.members.iter().filter_map(address), owner)
    }
}

/// Returns the address of a member. Returns `None` if it was erased.
pub(super) fn address(member: &Member) -> Option<&str> {
    member.address.value.as_str()
}

/// Returns the addresses of the kind `kind` of all given people.
pub(super) async fn addressed(
    app: &App,
    people: &[PersonId],
    kind: &str,
) -> Result<Addressed, Error> {
    let mut found = Addressed::default();
    for person in people {
        let known = addresses::person(app, person).await?;
        match one(person, &known, kind) {
            Ok(member) => found.members.push(member),
            Err(reason) => found.left_out.push(LeftOut {
                person: person.clone(),
                reason,
            }),
        }
    }
    Ok(found)
}

fn one(person: &PersonId, known: &Person, kind: &str) -> Result<Member, LeftOutReason> {
    let Person(preferences, suppressed) = known;
    let preferences = preferences.as_ref();
    let address = preferences.and_then(|preferences| preferences.addresses.get(kind));
    let text = address.and_then(|address| address.value.as_str());
    let Some(address) = address.filter(|_| text.is_some_and(|text| !text.is_empty())) else {
        return Err(LeftOutReason::NoAddress);
    };
    if is_suppressed(suppressed, address, Some(kind)) {
        return Err(LeftOutReason::Suppressed);
    }
    Ok(Member {
        person: person.clone(),
        address: address.clone(),
    })
}

/// Returns the addresses that a step removes. The owner of the group, and an address that another member has too, stay. An
/// erased address cannot be removed.
pub(super) fn to_remove<'a>(group: &'a ChatGroup, gone: &[PersonId], owner: &str) -> Vec<&'a str> {
    let text = |person: &PersonId| {
        let address = group.members.get(person);
        address.and_then(|address| address.value.as_str())
    };
    let stays = group.members.keys().filter(|person| !gone.contains(person));
    let used: BTreeSet<&str> = stays.filter_map(text).collect();
    let removed = gone.iter().filter_map(text);
    distinct(removed.filter(|address| !used.contains(address)), owner)
}

/// Returns each address once, without empty addresses and the address of the owner.
fn distinct<'a>(addresses: impl Iterator<Item = &'a str>, owner: &str) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    addresses
        .filter(|address| !address.is_empty() && *address != owner && seen.insert(*address))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::Personal;
    use events::person::PreferencesChanged;

    use super::*;

    fn person(name: &str) -> PersonId {
        PersonId(name.into())
    }

    fn personal(name: &str, address: &str) -> Personal {
        Personal::new(person(name), address.into())
    }

    #[test]
    fn a_person_without_a_usable_address_is_left_out() {
        let known = |kind: &str, address: &str| {
            let mut preferences = PreferencesChanged::default();
            let address = personal("a", address);
            preferences.addresses.insert(kind.into(), address);
            Person(Some(preferences), BTreeMap::new())
        };
        let found = |known: &Person| one(&person("a"), known, "wecom");
        let member = Member {
            person: person("a"),
            address: personal("a", "wx-a"),
        };
        assert_eq!(found(&known("wecom", "wx-a")), Ok(member));
        for missing in [
            Person::default(),
            known("feishu", "ou_a"),
            known("wecom", ""),
        ] {
            assert_eq!(found(&missing), Err(LeftOutReason::NoAddress));
        }
        let mut wrong = known("wecom", "wx-a");
        let event =
            domain::notification::suppression::suppressed("wecom", &personal("a", "wx-a"), "60111");
        wrong.1.insert("wecom".into(), event);
        assert_eq!(found(&wrong), Err(LeftOutReason::Suppressed));
    }

    #[test]
    fn an_address_that_another_member_has_stays() {
        let mut group = ChatGroup::default();
        for (name, address) in [
            ("a", "wx-1"),
            ("b", "wx-1"),
            ("c", "wx-2"),
            ("d", "wx-boss"),
        ] {
            group.members.insert(person(name), personal(name, address));
        }
        let mut erased = personal("e", "");
        erased.value = serde_json::Value::Null;
        group.members.insert(person("e"), erased);
        let gone =
            |names: &[&str]| -> Vec<PersonId> { names.iter().map(|one| person(one)).collect() };
        for (names, expected) in [
            (vec!["a"], vec![]),
            (vec!["a", "b"], vec!["wx-1"]),
            (vec!["c", "d", "e"], vec!["wx-2"]),
        ] {
            assert_eq!(to_remove(&group, &gone(&names), "wx-boss"), expected);
        }
    }
}
