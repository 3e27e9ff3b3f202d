//! Recommends settings for notifications from the past answers of a person, or of all people. Each recommendation
//! contains its evidence. The desk changes nothing by itself.

use std::collections::{BTreeMap, BTreeSet};

use events::PersonId;
use events::notification_policy::Rule;
use events::person::PreferencesChanged;
use events::preference::{Category, ChannelPreference, Frequency};

/// The lowest number of messages to a person on a channel from which the desk recommends something.
pub const SENT_MIN: u32 = 20;
/// The highest share of answered messages for a recommendation: one of 10.
const ANSWERED_PART: u32 = 10;
/// The lowest number of messages of the desk on a channel for a recommendation to operators.
pub const DESK_SENT_MIN: u32 = 100;
/// The lowest number of people for a recommendation to operators.
pub const DESK_PEOPLE_MIN: usize = 10;

/// The messages to people, and how many of their notifications were answered. An answer counts for all channels of its
/// notification, because no data shows which message caused it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub sent: u32,
    pub answered: u32,
    pub people: BTreeSet<PersonId>,
}

impl Usage {
    pub fn add(&mut self, person: &PersonId, is_answered: bool) {
        self.sent += 1;
        self.answered += u32::from(is_answered);
        self.people.insert(person.clone());
    }

    fn is_ignored(&self, sent_min: u32) -> bool {
        self.sent >= sent_min && self.answered.saturating_mul(ANSWERED_PART) <= self.sent
    }
}

/// The usage by channel and category. The channel is a kind of address for a person, and the name of a channel for
/// the desk.
pub type Usages = BTreeMap<(String, Category), Usage>;

/// A change that the desk recommends to a person. The kind of address names the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// One message at fixed times, instead of a message for each notification.
    Collect { kind: String },
    /// No messages about one category on the channel. The inbox still shows the notifications.
    LeaveOut { kind: String, category: Category },
}

impl Advice {
    /// Returns the id of the recommendation, such as `collect.email`.
    pub fn id(&self) -> String {
        match self {
            Self::Collect { kind } => format!("collect.{kind}"),
            Self::LeaveOut { kind, category } => format!("leave_out.{kind}.{}", category.name()),
        }
    }

    /// Returns the preferences for the channel after the change. `current` is the present preference.
    pub fn applied(&self, current: Option<&ChannelPreference>) -> ChannelPreference {
        let mut changed = current.cloned().unwrap_or_default();
        match self {
            Self::Collect { .. } => changed.frequency = Frequency::Batch,
            Self::LeaveOut { category, .. } => changed.switch(*category, false),
        }
        changed
    }

    /// Returns the kind of address of the channel.
    pub fn kind(&self) -> &str {
        match self {
            Self::Collect { kind } | Self::LeaveOut { kind, .. } => kind,
        }
    }
}

/// A recommendation to a person with its evidence: the number of messages, and how many were answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommendation {
    pub advice: Advice,
    pub sent: u32,
    pub answered: u32,
}

/// Returns true if no person has to act because of a notification of this category.
fn is_information(category: Category) -> bool {
    matches!(
        category,
        Category::Updated | Category::Commented | Category::Resolved
    )
}

/// Returns the recommendations to a person. A channel whose messages are ignored should collect them. If the person
/// ignores only information and answers other messages, the channel should leave the ignored categories out.
pub fn for_person(usages: &Usages, preferences: &PreferencesChanged) -> Vec<Recommendation> {
    let kinds: BTreeSet<&String> = usages.keys().map(|(kind, _)| kind).collect();
    let mut found = Vec::new();
    for kind in kinds {
        let choice = preferences.channels.get(kind);
        let frequency = choice.map_or(Frequency::Immediate, |choice| choice.frequency);
        let of_kind = || usages.iter().filter(move |((of, _), _)| of == kind);
        let mut all = Usage::default();
        for (_, usage) in of_kind() {
            all.sent += usage.sent;
            all.answered += usage.answered;
        }
        if frequency == Frequency::Immediate && all.is_ignored(SENT_MIN) {
            found.push(Recommendation {
                advice: Advice::Collect { kind: kind.clone() },
                sent: all.sent,
                answered: all.answered,
            });
            continue;
        }
        for ((_, category), usage) in of_kind() {
            let wanted = choice.and_then(|choice| choice.categories.as_ref());
            let is_wanted = wanted.is_none_or(|wanted| wanted.contains(category));
            if frequency != Frequency::Off
                && is_wanted
                && is_information(*category)
                && usage.is_ignored(SENT_MIN)
            {
                found.push(Recommendation {
                    advice: Advice::LeaveOut {
                        kind: kind.clone(),
                        category: *category,
                    },
                    sent: usage.sent,
                    answered: usage.answered,
                });
            }
        }
    }
    found
}

/// A rule that the desk recommends to operators, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAdvice {
    pub channel: String,
    pub category: Category,
    pub sent: u32,
    pub answered: u32,
    pub people: usize,
}

/// Returns the rules that collect messages which people ignore. A rule of the policy that already limits the same
/// messages is not recommended again.
pub fn for_policy(usages: &Usages, rules: &[Rule]) -> Vec<RuleAdvice> {
    let is_limited = |channel: &String, category: &Category| {
        rules.iter().any(|rule| {
            rule.cap.is_some_and(|cap| cap <= Frequency::Batch)
                && rule.bands.is_empty()
                && (rule.categories.is_empty() || rule.categories.contains(category))
                && (rule.channels.is_empty() || rule.channels.contains(channel))
        })
    };
    let ignored = usages.iter().filter(|((channel, category), usage)| {
        is_information(*category)
            && usage.is_ignored(DESK_SENT_MIN)
            && usage.people.len() >= DESK_PEOPLE_MIN
            && !is_limited(channel, category)
    });
    let advice = ignored.map(|((channel, category), usage)| RuleAdvice {
        channel: channel.clone(),
        category: *category,
        sent: usage.sent,
        answered: usage.answered,
        people: usage.people.len(),
    });
    advice.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(numbers: &[(&str, Category, u32, u32)]) -> Usages {
        let mut usages = Usages::new();
        for (kind, category, sent, answered) in numbers {
            let usage = usages.entry(((*kind).to_owned(), *category)).or_default();
            for number in 0..*sent {
                usage.add(&format!("p-{}", number % 12).into(), number < *answered);
            }
        }
        usages
    }

    fn preferences(choice: ChannelPreference) -> PreferencesChanged {
        PreferencesChanged {
            channels: BTreeMap::from([("email".to_owned(), choice)]),
            ..PreferencesChanged::default()
        }
    }

    fn ids(usages: &Usages, preferences: &PreferencesChanged) -> Vec<String> {
        let found = for_person(usages, preferences);
        found.iter().map(|one| one.advice.id()).collect()
    }

    #[test]
    fn ignored_channels_should_collect_their_messages() {
        use Category::{Approval, Updated};
        let nothing = PreferencesChanged::default();
        let ignored = usages(&[("email", Updated, 38, 2), ("email", Approval, 2, 0)]);
        let found = for_person(&ignored, &nothing);
        let advice = Advice::Collect {
            kind: "email".into(),
        };
        assert_eq!(
            found,
            [Recommendation {
                advice: advice.clone(),
                sent: 40,
                answered: 2
            }]
        );
        let applied = advice.applied(None);
        assert_eq!(applied.frequency, Frequency::Batch);
        let collected = usages(&[("email", Updated, 19, 0)]);
        assert!(ids(&collected, &nothing).is_empty(), "too few messages");
        let read = usages(&[("email", Updated, 40, 5)]);
        assert!(ids(&read, &nothing).is_empty(), "the person reads them");
        assert_eq!(
            ids(&ignored, &preferences(applied)),
            ["leave_out.email.updated"]
        );
    }

    #[test]
    fn only_information_is_left_out() {
        use Category::{Approval, Commented};
        let mixed = usages(&[("email", Commented, 30, 1), ("email", Approval, 30, 28)]);
        let nothing = PreferencesChanged::default();
        assert_eq!(ids(&mixed, &nothing), ["leave_out.email.commented"]);
        let advice = &for_person(&mixed, &nothing)[0].advice;
        let applied = advice.applied(None);
        let categories = applied.categories.clone().unwrap();
        assert_eq!(categories.len(), Category::NAMES.len() - 1);
        assert!(!categories.contains(&Commented));
        assert!(ids(&mixed, &preferences(applied)).is_empty(), "it is done");
        let off = ChannelPreference {
            frequency: Frequency::Off,
            ..ChannelPreference::default()
        };
        assert!(ids(&mixed, &preferences(off)).is_empty());
    }

    #[test]
    fn operators_get_rules_that_the_policy_does_not_have() {
        use Category::{Approval, Updated};
        let all = usages(&[("email", Updated, 400, 20), ("email", Approval, 400, 0)]);
        let found = for_policy(&all, &[]);
        let numbers: Vec<_> = found.iter().map(|one| (one.category, one.people)).collect();
        assert_eq!(numbers, [(Updated, 12)]);
        let rule = Rule {
            categories: vec![Updated],
            cap: Some(Frequency::Batch),
            ..Rule::default()
        };
        assert!(for_policy(&all, &[rule]).is_empty());
        let few = usages(&[("email", Updated, 99, 0)]);
        assert!(for_policy(&few, &[]).is_empty());
    }
}
