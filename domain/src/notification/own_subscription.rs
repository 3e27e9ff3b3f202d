//! Implements the aggregate of the subscriptions that one person made. A subscription notifies the person of tickets that
//! meet a condition, although the person does not take part in them. It never shows a ticket that the person may not
//! read.

use std::collections::BTreeSet;

use events::notification_policy::Occasion;
use events::own_subscription::{Changed, OwnSubscriptionEvent};
use events::workflow::Group;
use events::{PersonId, Personal};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Maximum number of subscriptions of one person.
pub const SUBSCRIPTIONS_MAX: usize = 20;

/// A subscription that a person made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnSubscription {
    /// The name that the person chose.
    pub name: String,
    pub on: Vec<Occasion>,
    /// The condition on the ticket. Without clauses, it is true.
    pub when: Group,
    /// True if the person switched the subscription off, for example with the link of a mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
}

/// The commands that change the subscriptions of one person.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Stores a subscription. It replaces the one with the same name.
    Put {
        person: PersonId,
        subscription: OwnSubscription,
        by: PersonId,
    },
    Remove {
        name: String,
        by: PersonId,
    },
    /// Switches subscriptions off, or on again. Unknown names are ignored.
    Pause {
        names: Vec<String>,
        is_paused: bool,
        by: PersonId,
    },
    /// Removes all subscriptions, because the person is erased.
    Clear {
        by: PersonId,
    },
}

/// The reasons why a command is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("a person can have at most {SUBSCRIPTIONS_MAX} subscriptions")]
    TooMany,
    #[error("the person has no subscription {0:?}")]
    Unknown(String),
}

/// The subscriptions of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnSubscriptions(pub Option<Changed>);

impl Decider for OwnSubscriptions {
    type Command = Command;
    type Event = OwnSubscriptionEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<OwnSubscriptionEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        let known = self.list();
        let mut list = known.clone();
        let by = match command {
            Command::Clear { by } => return Ok(self.clear(by)),
            Command::Put {
                subscription, by, ..
            } => {
                list.retain(|one| one.name != subscription.name);
                if list.len() >= SUBSCRIPTIONS_MAX {
                    return reject(Rejection::TooMany);
                }
                list.push(subscription.clone());
                list.sort_by(|one, other| one.name.cmp(&other.name));
                by
            }
            Command::Remove { name, by } => {
                list.retain(|one| one.name != *name);
                if list.len() == known.len() {
                    return reject(Rejection::Unknown(name.clone()));
                }
                by
            }
            Command::Pause {
                names,
                is_paused,
                by,
            } => {
                for one in &mut list {
                    if names.contains(&one.name) {
                        one.is_paused = *is_paused;
                    }
                }
                by
            }
        };
        if list == known {
            return Ok(Vec::new());
        }
        let person = match (command, &self.0) {
            (Command::Put { person, .. }, _) => person.clone(),
            (_, Some(changed)) => changed.person.clone(),
            (_, None) => return Ok(Vec::new()),
        };
        Ok(vec![changed(person, &list, by.clone()).into()])
    }

    fn evolve(&mut self, OwnSubscriptionEvent::Changed(changed): &OwnSubscriptionEvent) {
        self.0 = Some(changed.clone());
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let changed = self.0.iter_mut();
        changed.flat_map(events::Personals::personals).collect()
    }
}

/// Returns the event with all subscriptions of a person.
fn changed(person: PersonId, list: &[OwnSubscription], by: PersonId) -> Changed {
    let active = list.iter().filter(|one| !one.is_paused);
    let occasions: BTreeSet<Occasion> = active.flat_map(|one| one.on.iter().copied()).collect();
    let value = serde_json::to_value(list).unwrap_or_default();
    Changed {
        subscriptions: Personal::new(person.clone(), value),
        person,
        occasions: occasions.into_iter().collect(),
        by,
    }
}

impl OwnSubscriptions {
    /// Returns the event that removes all subscriptions, also of a person whose subscriptions cannot be read any more.
    fn clear(&self, by: &PersonId) -> Vec<OwnSubscriptionEvent> {
        let stored = self.0.iter();
        let mut stored = stored.filter(|one| !(one.occasions.is_empty() && self.list().is_empty()));
        let cleared = stored.next().map(|one| Changed {
            subscriptions: Personal::new(one.person.clone(), serde_json::Value::Null),
            person: one.person.clone(),
            occasions: Vec::new(),
            by: by.clone(),
        });
        cleared.map(Into::into).into_iter().collect()
    }

    /// Returns the subscriptions, sorted by their names. The list is empty after the person was erased.
    pub fn list(&self) -> Vec<OwnSubscription> {
        let changed = self.0.as_ref();
        let value = changed.map(|changed| changed.subscriptions.value.clone());
        let list = value.map(serde_json::from_value::<Vec<OwnSubscription>>);
        list.and_then(Result::ok).unwrap_or_default()
    }
}

/// Returns the name of the stream with the subscriptions of a person.
pub fn stream(person: &PersonId) -> String {
    format!("own_subscription-{person}")
}

/// The card of the subscriptions of one person. It does not contain the conditions, because they are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    pub person: Option<PersonId>,
    pub occasions: Vec<Occasion>,
}

/// Defines in which list of the view `own_subscription` a person appears: once for each occasion of the subscriptions.
impl Card for Subscriber {
    type Event = OwnSubscriptionEvent;
    const VIEW: &'static str = "own_subscription";

    fn fold(&mut self, envelope: &Envelope<OwnSubscriptionEvent>) {
        let OwnSubscriptionEvent::Changed(changed) = &envelope.event;
        self.person = Some(changed.person.clone());
        self.occasions.clone_from(&changed.occasions);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(person) = &self.person else {
            return Vec::new();
        };
        let occasions = self.occasions.iter();
        occasions
            .map(|occasion| ("occasion", format!("{}|{person}", occasion.name())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    fn subscription(name: &str, on: &[Occasion]) -> OwnSubscription {
        OwnSubscription {
            name: name.into(),
            on: on.to_vec(),
            when: Group::default(),
            is_paused: false,
        }
    }

    fn put(subscription: OwnSubscription) -> Command {
        Command::Put {
            person: "p-1".into(),
            subscription,
            by: "p-1".into(),
        }
    }

    fn execute(
        history: &mut Vec<OwnSubscriptionEvent>,
        command: &Command,
    ) -> Result<usize, DecideError<OwnSubscriptions>> {
        let events = fold::<OwnSubscriptions>(&*history).decide(command, &())?;
        let count = events.len();
        history.extend(events);
        Ok(count)
    }

    #[test]
    fn subscriptions_are_stored_replaced_paused_and_removed() {
        let mut history = Vec::new();
        let waiting = subscription("b", &[Occasion::Waiting]);
        assert_eq!(execute(&mut history, &put(waiting.clone())), Ok(1));
        assert_eq!(execute(&mut history, &put(waiting)), Ok(0), "it is equal");
        let ended = subscription("a", &[Occasion::Ended, Occasion::Waiting]);
        assert_eq!(execute(&mut history, &put(ended)), Ok(1));
        let state = fold::<OwnSubscriptions>(&history);
        let names: Vec<String> = state.list().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["a", "b"]);
        let pause = |is_paused| Command::Pause {
            names: vec!["a".into(), "unknown".into()],
            is_paused,
            by: "p-1".into(),
        };
        assert_eq!(execute(&mut history, &pause(true)), Ok(1));
        assert_eq!(execute(&mut history, &pause(true)), Ok(0));
        let occasions = |history: &[OwnSubscriptionEvent]| {
            let state = fold::<OwnSubscriptions>(history);
            state.0.map(|changed| changed.occasions)
        };
        assert_eq!(occasions(&history), Some(vec![Occasion::Waiting]));
        assert_eq!(execute(&mut history, &pause(false)), Ok(1));
        let both = Some(vec![Occasion::Waiting, Occasion::Ended]);
        assert_eq!(occasions(&history), both);
        let remove = |name: &str| Command::Remove {
            name: name.into(),
            by: "p-1".into(),
        };
        assert_eq!(execute(&mut history, &remove("b")), Ok(1));
        let unknown = Err(DecideError::Rejected(Rejection::Unknown("b".into())));
        assert_eq!(execute(&mut history, &remove("b")), unknown);
    }

    #[test]
    fn the_number_of_subscriptions_is_limited() {
        let mut history = Vec::new();
        for number in 0..SUBSCRIPTIONS_MAX {
            let one = subscription(&format!("s{number:02}"), &[Occasion::Ended]);
            assert_eq!(execute(&mut history, &put(one)), Ok(1));
        }
        let too_many = Err(DecideError::Rejected(Rejection::TooMany));
        let next = subscription("next", &[Occasion::Ended]);
        assert_eq!(execute(&mut history, &put(next)), too_many);
        let replaced = subscription("s00", &[Occasion::Waiting]);
        assert_eq!(execute(&mut history, &put(replaced)), Ok(1));
    }

    #[test]
    fn a_person_is_listed_for_each_occasion_and_an_erased_person_has_no_subscriptions() {
        let mut history = Vec::new();
        let both = subscription("a", &[Occasion::PriorityChanged, Occasion::Waiting]);
        execute(&mut history, &put(both)).unwrap();
        let mut card = Subscriber::default();
        let envelope = Envelope {
            stream: "own_subscription-p-1".into(),
            sequence: 1,
            at: events::Moment(5),
            occurred_at: None,
            meta: events::Meta::system("c", "c"),
            event: history[0].clone(),
        };
        card.fold(&envelope);
        let rows = [
            ("occasion", "waiting|p-1".to_owned()),
            ("occasion", "priority_changed|p-1".to_owned()),
        ];
        assert_eq!(card.index(), rows);
        let mut state = fold::<OwnSubscriptions>(&history);
        for personal in Decider::personals(&mut state) {
            personal.value = serde_json::Value::Null;
        }
        assert!(state.list().is_empty());
        // The occasions of an erased person are not encrypted, so the erasure removes them with an event.
        let clear = Command::Clear {
            by: PersonId::system(),
        };
        let events = state.decide(&clear, &()).unwrap();
        assert_eq!(events.len(), 1);
        card.fold(&Envelope {
            event: events[0].clone(),
            ..envelope
        });
        assert!(card.index().is_empty());
        state.evolve(&events[0]);
        assert_eq!(state.decide(&clear, &()), Ok(Vec::new()));
    }
}
