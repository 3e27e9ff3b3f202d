//! Implements the aggregate that stores the preferences of one person: language, time zone, availability and
//! addresses. It also stores which addresses are suppressed.

use std::collections::BTreeMap;

use events::person::{AddressReleased, AddressSuppressed, PersonEvent, PreferencesChanged};
use events::preference::{Category, ChannelPreference};
use events::{PersonId, Personal};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The commands that change the preferences of one person.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Change(Box<PreferencesChanged>),
    /// Suppresses an address, because a provider reported that it is wrong.
    Suppress(AddressSuppressed),
    /// Uses a suppressed address again.
    Release(AddressReleased),
    /// Switches the messages of some categories to one kind of address off or on. All other preferences keep their
    /// values.
    SwitchCategories {
        /// The kind of address, such as `email`.
        kind: String,
        /// The default of the team of the person. It applies if the person made no choice for this kind of address.
        default: ChannelPreference,
        categories: Vec<Category>,
        is_on: bool,
        by: PersonId,
    },
}

/// The reasons why a command for the preferences is rejected. The enum has no variants, because the desk never
/// rejects such a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The preferences of one person. The first value is `None` if no preferences were stored for this person. The second value
/// contains the suppressed addresses. Each of its keys is the kind of an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Person(
    pub Option<PreferencesChanged>,
    pub BTreeMap<String, AddressSuppressed>,
);

impl Decider for Person {
    type Command = Command;
    type Event = PersonEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<PersonEvent>, DecideError<Self>> {
        Ok(match command {
            Command::Change(changed) => self.change(changed),
            Command::Suppress(suppressed) => {
                let known = self.1.get(&suppressed.kind);
                let is_known = known.is_some_and(|one| one.digest.value == suppressed.digest.value);
                if is_known {
                    Vec::new()
                } else {
                    vec![suppressed.clone().into()]
                }
            }
            Command::Release(released) if self.1.contains_key(&released.kind) => {
                vec![released.clone().into()]
            }
            Command::Release(_) => Vec::new(),
            Command::SwitchCategories {
                kind,
                default,
                categories,
                is_on,
                by,
            } => {
                let mut changed = self.0.clone().unwrap_or_default();
                for personal in events::Personals::personals(&mut changed) {
                    personal.sealed = None;
                }
                let choices = &mut changed.channels;
                let choice = choices
                    .entry(kind.clone())
                    .or_insert_with(|| default.clone());
                let known = choice.clone();
                categories
                    .iter()
                    .for_each(|category| choice.switch(*category, *is_on));
                if known == *choice {
                    Vec::new()
                } else {
                    // The document of the person does not contain this change, so it is not returned any more.
                    changed.document = None;
                    changed.by = by.clone();
                    self.change(&changed)
                }
            }
        })
    }

    fn evolve(&mut self, event: &PersonEvent) {
        match event {
            PersonEvent::PreferencesChanged(changed) => self.0 = Some(changed.clone()),
            PersonEvent::AddressSuppressed(suppressed) => {
                self.1.insert(suppressed.kind.clone(), suppressed.clone());
            }
            PersonEvent::AddressReleased(released) => {
                self.1.remove(&released.kind);
            }
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let preferences = self.0.iter_mut();
        let addresses = preferences.flat_map(events::Personals::personals);
        let digests = self.1.values_mut().map(|suppressed| &mut suppressed.digest);
        addresses.chain(digests).collect()
    }
}

impl Person {
    /// Returns one event that stores the preferences in `changed`. Returns no event if these preferences are
    /// equal to the stored preferences.
    fn change(&self, changed: &PreferencesChanged) -> Vec<PersonEvent> {
        let is_equal = self.0.as_ref().is_some_and(|known| {
            // The sealed form of a personal value differs after each encryption, so only the values are compared.
            let values = |preferences: &PreferencesChanged| {
                let mut preferences = preferences.clone();
                preferences.by = PersonId::default();
                for personal in events::Personals::personals(&mut preferences) {
                    personal.sealed = None;
                }
                preferences
            };
            values(known) == values(changed)
        });
        if is_equal {
            Vec::new()
        } else {
            vec![changed.clone().into()]
        }
    }
}

/// Returns the name of the stream with the preferences of a person.
pub fn stream(person: &PersonId) -> String {
    format!("person-{person}")
}

#[cfg(test)]
mod tests {
    use events::person::Language;
    use events::preference::ChannelPreference;
    use serde_json::Value;

    use super::*;

    fn preferences(email: &str) -> PreferencesChanged {
        let address = Personal::new("p-1".into(), email.into());
        PreferencesChanged {
            addresses: BTreeMap::from([("email".to_owned(), address)]),
            by: "p-1".into(),
            ..PreferencesChanged::default()
        }
    }

    #[test]
    fn equal_preferences_add_no_event() {
        let mut person = Person::default();
        let change = |changed: &PreferencesChanged| Command::Change(Box::new(changed.clone()));
        let first = change(&preferences("a@b.example"));
        let events = person.decide(&first, &()).unwrap();
        events.iter().for_each(|event| person.evolve(event));
        let by_another = PreferencesChanged {
            by: "p-2".into(),
            ..preferences("a@b.example")
        };
        assert_eq!(person.decide(&change(&by_another), &()), Ok(Vec::new()));
        for changed in [
            preferences("c@b.example"),
            PreferencesChanged {
                language: Language::English,
                ..preferences("a@b.example")
            },
            PreferencesChanged {
                zone: Some("UTC".into()),
                ..preferences("a@b.example")
            },
            PreferencesChanged {
                calendar: Some("china".into()),
                ..preferences("a@b.example")
            },
            PreferencesChanged {
                do_not_disturb_until: Some(events::Moment(5)),
                ..preferences("a@b.example")
            },
            PreferencesChanged {
                is_aggregated: Some(false),
                ..preferences("a@b.example")
            },
            PreferencesChanged {
                channels: BTreeMap::from([("email".to_owned(), ChannelPreference::default())]),
                ..preferences("a@b.example")
            },
        ] {
            assert_eq!(
                person.decide(&change(&changed), &()),
                Ok(vec![changed.clone().into()])
            );
        }
    }

    #[test]
    fn each_address_and_the_feed_are_personal_values() {
        let feed = Personal::new("p-1".into(), "https://calendar.example/1.ics".into());
        let preferences = PreferencesChanged {
            presence: Some(feed),
            ..preferences("a@b.example")
        };
        let mut person = Person(Some(preferences), BTreeMap::new());
        let values: Vec<Value> = person
            .personals()
            .iter()
            .map(|one| one.value.clone())
            .collect();
        assert_eq!(values, ["a@b.example", "https://calendar.example/1.ics"]);
    }

    #[test]
    fn categories_are_switched_off_and_on_and_other_preferences_stay() {
        let mut stored = preferences("a@b.example");
        stored.document = Some(Personal::new("p-1".into(), "document".into()));
        let mut person = Person(Some(stored.clone()), BTreeMap::new());
        let switch = |categories: &[Category], is_on| Command::SwitchCategories {
            kind: "email".into(),
            default: ChannelPreference::default(),
            categories: categories.to_vec(),
            is_on,
            by: "p-1".into(),
        };
        let off = switch(&[Category::Commented, Category::Updated], false);
        let events = person.decide(&off, &()).unwrap();
        events.iter().for_each(|event| person.evolve(event));
        let changed = person.0.clone().unwrap();
        assert_eq!(changed.addresses, stored.addresses);
        assert_eq!(changed.document, None, "the document is old");
        let choice = &changed.channels["email"];
        assert!(!choice.wants(Category::Commented) && !choice.wants(Category::Updated));
        assert!(choice.wants(Category::Approval) && choice.wants(Category::Resolved));
        assert_eq!(person.decide(&off, &()), Ok(Vec::new()), "a second time");
        let on = switch(&[Category::Commented, Category::Updated], true);
        let events = person.decide(&on, &()).unwrap();
        events.iter().for_each(|event| person.evolve(event));
        assert!(person.0.clone().unwrap().channels["email"].wants(Category::Commented));
        assert_eq!(person.decide(&on, &()), Ok(Vec::new()));
        // Without a preference, all messages are sent already.
        let none = Person::default();
        assert_eq!(none.decide(&on, &()), Ok(Vec::new()));
    }

    #[test]
    fn the_default_of_the_team_is_switched_for_a_person_without_a_choice() {
        let of_team = ChannelPreference {
            categories: Some(vec![Category::Approval, Category::Commented]),
            ..ChannelPreference::default()
        };
        let off = Command::SwitchCategories {
            kind: "email".into(),
            default: of_team,
            categories: vec![Category::Commented],
            is_on: false,
            by: "p-1".into(),
        };
        let mut person = Person::default();
        let events = person.decide(&off, &()).unwrap();
        events.iter().for_each(|event| person.evolve(event));
        let choice = person.0.unwrap().channels["email"].clone();
        assert_eq!(choice.categories, Some(vec![Category::Approval]));
    }

    #[test]
    fn an_address_is_suppressed_once_and_released_once() {
        let address = Personal::new("p-1".into(), "a@b.example".into());
        let suppressed = super::super::suppression::suppressed("email", &address, "5.1.1");
        let suppress = Command::Suppress(suppressed.clone());
        let released = AddressReleased {
            kind: "email".into(),
            by: "p-1".into(),
        };
        let release = Command::Release(released.clone());
        let mut person = Person::default();
        assert_eq!(person.decide(&release, &()), Ok(Vec::new()));
        assert_eq!(
            person.decide(&suppress, &()),
            Ok(vec![suppressed.clone().into()])
        );
        person.evolve(&suppressed.into());
        assert_eq!(person.personals().len(), 1, "the hash is a personal value");
        assert_eq!(person.decide(&suppress, &()), Ok(Vec::new()));
        assert_eq!(
            person.decide(&release, &()),
            Ok(vec![released.clone().into()])
        );
        person.evolve(&released.into());
        assert_eq!(person, Person::default());
    }
}
