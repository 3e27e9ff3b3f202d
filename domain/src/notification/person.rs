//! Implements the aggregate that stores the preferences of one person: language, time zone, quiet hours and
//! addresses.

use events::Personal;
use events::person::{PersonEvent, PreferencesChanged};
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
            let values = |preferences: &PreferencesChanged| -> Vec<_> {
                let addresses = preferences.addresses.iter();
                addresses
                    .map(|(kind, address)| (kind.clone(), address.value.clone()))
                    .collect()
            };
            (known.language, &known.zone, &known.quiet)
                == (changed.language, &changed.zone, &changed.quiet)
                && values(known) == values(changed)
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
pub fn stream(person: &events::PersonId) -> String {
    format!("person-{person}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::person::Language;
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
        ] {
            assert_eq!(
                person.decide(&changed, &()),
                Ok(vec![changed.clone().into()])
            );
        }
    }

    #[test]
    fn each_address_is_a_personal_value() {
        let mut person = Person(Some(preferences("a@b.example")));
        let values: Vec<Value> = person
            .personals()
            .iter()
            .map(|one| one.value.clone())
            .collect();
        assert_eq!(values, ["a@b.example"]);
    }
}
