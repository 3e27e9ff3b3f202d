//! Implements the onboarding of one person: four steps that lead from an address to the advanced settings
//! (requirements/notifications.md, UserOnboarding). A step is done as soon as its facts are true, wherever the person
//! changed the settings. The aggregate stores only the steps that the person skipped.

use std::collections::BTreeSet;

use events::PersonId;
use events::onboarding::{OnboardingEvent, Step, StepResumed, StepSkipped};
use events::person::PreferencesChanged;
use events::preference::{ChannelPreference, Frequency};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The commands that change the onboarding of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Skip { step: Step, by: PersonId },
    Resume { step: Step, by: PersonId },
}

/// The reasons why a command is rejected. The enum has no variants, because the desk never rejects such a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The steps that one person skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onboarding(pub BTreeSet<Step>);

impl Decider for Onboarding {
    type Command = Command;
    type Event = OnboardingEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    /// A repeated command adds no event.
    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<OnboardingEvent>, DecideError<Self>> {
        Ok(match command {
            Command::Skip { step, by } if !self.0.contains(step) => {
                let (step, by) = (*step, by.clone());
                vec![StepSkipped { step, by }.into()]
            }
            Command::Resume { step, by } if self.0.contains(step) => {
                let (step, by) = (*step, by.clone());
                vec![StepResumed { step, by }.into()]
            }
            Command::Skip { .. } | Command::Resume { .. } => Vec::new(),
        })
    }

    fn evolve(&mut self, event: &OnboardingEvent) {
        match event {
            OnboardingEvent::StepSkipped(skipped) => {
                self.0.insert(skipped.step);
            }
            OnboardingEvent::StepResumed(resumed) => {
                self.0.remove(&resumed.step);
            }
        }
    }
}

/// Returns the name of the stream with the onboarding of a person.
pub fn stream(person: &PersonId) -> String {
    format!("onboarding-{person}")
}

/// The data about the settings and the messages of a person.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The preferences. `None` if the person has stored none.
    pub preferences: Option<&'a PreferencesChanged>,
    /// True if the person has an address that no provider reported as wrong.
    pub has_usable_address: bool,
    /// True if a provider accepted a message to the person, or if a chat account is linked.
    pub is_reached: bool,
    /// True if the person read a notification or used an action of it.
    pub has_answered: bool,
    /// True if a chat account of the person is linked, so the person can act from a chat.
    pub has_linked_account: bool,
}

/// A fact that belongs to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    AddressStored,
    MessageArrived,
    MessageAnswered,
    ChannelsChosen,
    CategoriesOrTimesChosen,
    QuietTimesChosen,
    AccountLinked,
    CalendarConnected,
    CollectionChosen,
}

impl Check {
    /// Returns the name of the fact for the API, such as `address_stored`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressStored => "address_stored",
            Self::MessageArrived => "message_arrived",
            Self::MessageAnswered => "message_answered",
            Self::ChannelsChosen => "channels_chosen",
            Self::CategoriesOrTimesChosen => "categories_or_times_chosen",
            Self::QuietTimesChosen => "quiet_times_chosen",
            Self::AccountLinked => "account_linked",
            Self::CalendarConnected => "calendar_connected",
            Self::CollectionChosen => "collection_chosen",
        }
    }

    /// Returns true if the fact is true for the person.
    pub fn is_true(self, known: &Known<'_>) -> bool {
        let of = |is: fn(&PreferencesChanged) -> bool| known.preferences.is_some_and(is);
        match self {
            Self::AddressStored => known.has_usable_address,
            Self::MessageArrived => known.is_reached,
            Self::MessageAnswered => known.has_answered,
            Self::ChannelsChosen => of(|one| !one.channels.is_empty()),
            Self::CategoriesOrTimesChosen => of(|one| one.channels.values().any(is_customized)),
            Self::QuietTimesChosen => of(|one| one.quiet.is_some() || one.calendar.is_some()),
            Self::AccountLinked => known.has_linked_account,
            Self::CalendarConnected => of(|one| one.presence.is_some()),
            Self::CollectionChosen => {
                of(|one| one.is_aggregated.is_some() || one.is_learned.is_some())
            }
        }
    }
}

fn is_customized(choice: &ChannelPreference) -> bool {
    choice.categories.is_some()
        || !choice.batch_times.is_empty()
        || choice.frequency != Frequency::Immediate
}

/// Returns the facts of a step. The flag is true if all facts must be true, and false if one of them is enough.
pub fn checks(step: Step) -> (&'static [Check], bool) {
    match step {
        Step::SetupBasicNotifications => (
            &[
                Check::AddressStored,
                Check::MessageArrived,
                Check::MessageAnswered,
            ],
            true,
        ),
        Step::ConfigurePreferredChannels => (&[Check::ChannelsChosen], true),
        Step::CustomizeNotificationRules => (
            &[Check::CategoriesOrTimesChosen, Check::QuietTimesChosen],
            false,
        ),
        Step::EnableAdvancedFeatures => (
            &[
                Check::AccountLinked,
                Check::CalendarConnected,
                Check::CollectionChosen,
            ],
            false,
        ),
    }
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Done,
    Skipped,
}

impl Onboarding {
    /// Returns the state of a step. A step that is done stays done if the person had skipped it before.
    pub fn state(&self, step: Step, known: &Known<'_>) -> State {
        let (checks, needs_all) = checks(step);
        let mut facts = checks.iter().map(|check| check.is_true(known));
        let is_done = if needs_all {
            facts.all(|is_true| is_true)
        } else {
            facts.any(|is_true| is_true)
        };
        match (is_done, self.0.contains(&step)) {
            (true, _) => State::Done,
            (false, true) => State::Skipped,
            (false, false) => State::Open,
        }
    }

    /// Returns the first step that is open. Returns `None` if the onboarding is complete.
    pub fn next(&self, known: &Known<'_>) -> Option<Step> {
        let mut steps = Step::ALL.into_iter();
        steps.find(|step| self.state(*step, known) == State::Open)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decider::fold;

    const NOTHING: Known<'_> = Known {
        preferences: None,
        has_usable_address: false,
        is_reached: false,
        has_answered: false,
        has_linked_account: false,
    };

    #[test]
    fn steps_follow_from_facts_in_their_order() {
        let onboarding = Onboarding::default();
        let first = Some(Step::SetupBasicNotifications);
        assert_eq!(onboarding.next(&NOTHING), first);
        let reached = Known {
            has_usable_address: true,
            is_reached: true,
            ..NOTHING
        };
        assert_eq!(onboarding.next(&reached), first, "no answer yet");
        let answered = Known {
            has_answered: true,
            ..reached
        };
        let second = Some(Step::ConfigurePreferredChannels);
        assert_eq!(onboarding.next(&answered), second);
        let mut preferences = PreferencesChanged {
            channels: BTreeMap::from([("email".to_owned(), ChannelPreference::default())]),
            ..PreferencesChanged::default()
        };
        let third = Some(Step::CustomizeNotificationRules);
        let with = |preferences: &PreferencesChanged| {
            onboarding.next(&Known {
                preferences: Some(preferences),
                ..answered
            })
        };
        assert_eq!(with(&preferences), third);
        preferences.calendar = Some("china".into());
        assert_eq!(with(&preferences), Some(Step::EnableAdvancedFeatures));
        preferences.is_aggregated = Some(false);
        assert_eq!(with(&preferences), None);
    }

    #[test]
    fn a_skipped_step_can_be_resumed() {
        let step = Step::SetupBasicNotifications;
        let by = PersonId::from("p-1");
        let skip = Command::Skip {
            step,
            by: by.clone(),
        };
        let mut history = Onboarding::default().decide(&skip, &()).unwrap();
        let state: Onboarding = fold(&history);
        assert_eq!(state.decide(&skip, &()), Ok(Vec::new()));
        assert_eq!(state.state(step, &NOTHING), State::Skipped);
        assert_eq!(state.next(&NOTHING), Some(Step::ConfigurePreferredChannels));
        let done = Known {
            has_usable_address: true,
            is_reached: true,
            has_answered: true,
            ..NOTHING
        };
        assert_eq!(state.state(step, &done), State::Done);
        let resume = Command::Resume { step, by };
        history.extend(state.decide(&resume, &()).unwrap());
        assert_eq!(fold::<Onboarding>(&history), Onboarding::default());
    }

    #[test]
    fn step_names_are_those_of_the_requirements() {
        for step in Step::ALL {
            assert_eq!(Step::read(step.name()), Some(step));
            assert_eq!(serde_json::to_value(step).unwrap(), step.name());
        }
        assert_eq!(Step::read("step_1"), None);
    }
}
