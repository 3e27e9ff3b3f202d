//! Implements the aggregate that stores the preferences of one person: language, time zone, availability and
//! addresses.

use events::person::{PersonEvent, PreferencesChanged};
use events::{PersonId, Personal};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The reasons why a command for the preferences is rejected. The enum has no variants, because the desk never
/// rejects such a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The preferences of one person. The value is `None` if no preferences were stored for this person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Person(pub Option<PreferencesChanged>);

impl Decider for Person {
    type Command = PreferencesChanged;
    type Event = PersonEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    /// Returns one event that stores the preferences in `changed`. Returns no event if these preferences are
    /// equal to the stored preferences.
    fn decide(
        &self,
        changed: &PreferencesChanged,
        (): &(),
    ) -> Result<Vec<PersonEvent>, DecideError<Self>> {
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
        Ok(if is_equal {
            Vec::new()
        } else {
            vec![changed.clone().into()]
        })
    }

    fn evolve(&mut self, PersonEvent::PreferencesChanged(changed): &PersonEvent) {
        self.0 = Some(changed.clone());
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let preferences = self.0.iter_mut();
        preferences.flat_map(events::Personals::personals).collect()
    }
}

/// Returns the name of the stream with the preferences of a person.
pub fn stream(person: &PersonId) -> String {
    format!("person-{person}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        let events = person.decide(&preferences("a@b.example"), &()).unwrap();
        events.iter().for_each(|event| person.evolve(event));
        let by_another = PreferencesChanged {
            by: "p-2".into(),
            ..preferences("a@b.example")
        };
        assert_eq!(person.decide(&by_another, &()), Ok(Vec::new()));
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
                person.decide(&changed, &()),
                Ok(vec![changed.clone().into()])
            );
        }
    }

    #[test]
    fn each_address_and_the_feed_are_personal_values() {
        let feed = Personal::new("p-1".into(), "https://calendar.example/1.ics".into());
        let mut person = Person(Some(PreferencesChanged {
            presence: Some(feed),
            ..preferences("a@b.example")
        }));
        let values: Vec<Value> = person
            .personals()
            .iter()
            .map(|one| one.value.clone())
            .collect();
        assert_eq!(values, ["a@b.example", "https://calendar.example/1.ics"]);
    }
}
