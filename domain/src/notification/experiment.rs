//! Implements the aggregate of one experiment. An experiment assigns people to groups, and each group gets its
//! messages at another time. The desk computes the figures once a day. It stops an experiment that harms the answers
//! to urgent notifications, and it names a winner only at the planned end and only with enough people.

use events::experiment::{
    Applied, Assignment, Checked, Decided, ExperimentEvent, Figures, Outcome, Started, Stopped,
    Variant, Withdrawn,
};
use events::{Moment, PersonId};
use serde::{Deserialize, Serialize};

use super::measure::outcome;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Time between two checks of the figures, in milliseconds (one day).
pub const CHECK_MS: i64 = 24 * 3_600_000;
/// Minimum and maximum length of an experiment, in days.
pub const DAYS: (i64, i64) = (1, 90);
/// The length of an experiment without a given length, in days (requirements/notifications.md, NotificationOptimizer).
pub const DAYS_DEFAULT: i64 = 7;
/// The lowest number of people in each group that a person can choose. The normal interval needs about this number.
pub const PEOPLE_MIN: i64 = 30;
/// The lowest number of people in each group, if no number is given. With 100 people in each group, only a difference
/// of about 20 percentage points is found: 390 people find a difference between 40 % and 50 %
/// (reference/notifications.md, section 6).
pub const PEOPLE_DEFAULT: u32 = 100;

/// The commands that change one experiment.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Start(Box<Started>),
    /// Records figures. Before the time of the next check, the command does nothing.
    Check {
        figures: Figures,
        at: Moment,
        /// True if the notification policy allows the desk to apply a winner.
        applies: bool,
    },
    Stop {
        by: PersonId,
        at: Moment,
    },
    Apply {
        variant: Variant,
        by: PersonId,
        at: Moment,
    },
    /// Ends the use of the applied variant.
    Withdraw {
        by: PersonId,
        at: Moment,
    },
}

/// The reasons why the desk rejects a command for an experiment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the experiment has already started")]
    AlreadyStarted,
    #[error("the experiment does not exist")]
    NotStarted,
    #[error("the experiment has ended")]
    Ended,
    #[error("the experiment is still running")]
    Running,
    #[error("the experiment has no variant with this name")]
    UnknownVariant,
    #[error("the variant harms the answers to urgent notifications")]
    Harmful,
    #[error("no variant of the experiment is applied")]
    NotApplied,
}

/// The phase of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    New,
    /// The next check is due at the given time.
    Running(Moment),
    Decided(Decided),
    Stopped(Stopped),
}

/// The state of one experiment, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    pub started: Option<Started>,
    pub phase: Phase,
    /// The figures of the last check before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
    /// The variant that applies to all people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
}

impl Decider for Experiment {
    type Command = Command;
    type Event = ExperimentEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Start(_))
    }

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<ExperimentEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        let Some(experiment) = &self.started else {
            return match command {
                Command::Start(started) => Ok(vec![(**started).clone().into()]),
                _ => reject(Rejection::NotStarted),
            };
        };
        match command {
            Command::Start(_) => reject(Rejection::AlreadyStarted),
            Command::Check {
                figures,
                at,
                applies,
            } => Ok(match self.phase {
                Phase::Running(due) if due <= *at => check(experiment, figures, *at, *applies),
                _ => Vec::new(),
            }),
            Command::Stop { by, at } if self.is_running() => {
                let stopped = Stopped {
                    figures: None,
                    harmful: None,
                    by: Some(by.clone()),
                    at: *at,
                };
                Ok(vec![stopped.into()])
            }
            Command::Stop { .. } => reject(Rejection::Ended),
            Command::Apply { .. } if self.is_running() => reject(Rejection::Running),
            Command::Apply { variant, .. } if !experiment.variants.contains(variant) => {
                reject(Rejection::UnknownVariant)
            }
            Command::Apply { variant, .. } if self.harms(*variant) => reject(Rejection::Harmful),
            Command::Apply { variant, by, at } => {
                let is_applied = self.applied.as_ref().map(|one| one.variant) == Some(*variant);
                let applied = Applied {
                    variant: *variant,
                    by: Some(by.clone()),
                    at: *at,
                };
                Ok(if is_applied {
                    Vec::new()
                } else {
                    vec![applied.into()]
                })
            }
            Command::Withdraw { .. } if self.applied.is_none() => reject(Rejection::NotApplied),
            Command::Withdraw { by, at } => {
                let withdrawn = Withdrawn {
                    by: by.clone(),
                    at: *at,
                };
                Ok(vec![withdrawn.into()])
            }
        }
    }

    fn evolve(&mut self, event: &ExperimentEvent) {
        match event {
            ExperimentEvent::Started(started) => {
                self.phase = Phase::Running(started.due);
                self.started = Some(started.clone());
            }
            ExperimentEvent::Checked(checked) => {
                self.phase = Phase::Running(checked.due);
                self.checked = Some(checked.clone());
            }
            ExperimentEvent::Decided(decided) => self.phase = Phase::Decided(decided.clone()),
            ExperimentEvent::Stopped(stopped) => self.phase = Phase::Stopped(stopped.clone()),
            ExperimentEvent::Applied(applied) => self.applied = Some(applied.clone()),
            ExperimentEvent::Withdrawn(_) => self.applied = None,
        }
    }
}

/// Returns the events of a check. A harmful variant ends the experiment at once. A winner is named only at the
/// planned end, because an experiment that ends at the first good figures finds differences that do not exist.
fn check(started: &Started, figures: &Figures, at: Moment, applies: bool) -> Vec<ExperimentEvent> {
    let mut comparisons = figures.comparisons.iter();
    if let Some(harmful) = comparisons.find(|one| one.harms_urgent) {
        let stopped = Stopped {
            figures: Some(figures.clone()),
            harmful: Some(harmful.variant),
            by: None,
            at,
        };
        return vec![stopped.into()];
    }
    if at < started.until {
        let checked = Checked {
            figures: figures.clone(),
            at,
            due: at.plus_ms(CHECK_MS).min(started.until),
        };
        return vec![checked.into()];
    }
    let outcome = outcome(figures, started.people_min);
    let decided = Decided {
        figures: figures.clone(),
        outcome,
        at,
    };
    let mut events: Vec<ExperimentEvent> = vec![decided.into()];
    if let (Outcome::Winner { variant }, true) = (outcome, applies) {
        let applied = Applied {
            variant,
            by: None,
            at,
        };
        events.push(applied.into());
    }
    events
}

impl Experiment {
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Returns true if the experiment decides the time of messages: it is running, or a variant of it is applied.
    pub fn is_active(&self) -> bool {
        self.is_running() || self.applied.is_some()
    }

    /// Returns the newest figures.
    pub fn figures(&self) -> Option<&Figures> {
        match &self.phase {
            Phase::Decided(decided) => Some(&decided.figures),
            Phase::Stopped(Stopped {
                figures: Some(figures),
                ..
            }) => Some(figures),
            _ => self.checked.as_ref().map(|checked| &checked.figures),
        }
    }

    /// Returns true if the newest figures show that the variant harms the answers to urgent notifications.
    fn harms(&self, variant: Variant) -> bool {
        let figures = self.figures();
        let mut comparisons = figures.iter().flat_map(|figures| &figures.comparisons);
        comparisons.any(|one| one.variant == variant && one.harms_urgent)
    }

    /// Returns the variant that decides the time of the messages to a person. `stream` is the name of the stream of
    /// the experiment. A person has the same variant during the whole experiment. Returns `None` if the person does
    /// not take part.
    pub fn assignment(&self, stream: &str, person: &PersonId) -> Option<Assignment> {
        let started = self.started.as_ref()?;
        let (variant, is_applied) = if self.is_running() {
            (group(stream, started, person)?, false)
        } else {
            (self.applied.as_ref()?.variant, true)
        };
        Some(Assignment {
            experiment: stream.to_owned(),
            variant,
            is_applied,
        })
    }
}

/// Returns the group of a person, derived from a hash of the experiment and the person.
fn group(stream: &str, started: &Started, person: &PersonId) -> Option<Variant> {
    let hash = blake3::hash(format!("{stream} {person}").as_bytes());
    let number = |at: usize| {
        let mut number = [0; 4];
        number.copy_from_slice(&hash.as_bytes()[at..at + 4]);
        u32::from_be_bytes(number)
    };
    if number(0) % 100 >= u32::from(started.share_percent) {
        return None;
    }
    let count = u32::try_from(started.variants.len()).ok()?;
    let at = usize::try_from(number(4).checked_rem(count)?).ok()?;
    started.variants.get(at).copied()
}

/// Defines in which lists of the view `experiment` an experiment appears: the list of all experiments, and the list
/// of the active ones.
impl Card for Experiment {
    type Event = ExperimentEvent;
    const VIEW: &'static str = "experiment";
    const COUNTED: &'static [&'static str] = &["experiment"];

    fn fold(&mut self, envelope: &Envelope<ExperimentEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(started) = &self.started else {
            return Vec::new();
        };
        let age = format!("{:016}", started.at.0);
        let mut rows = vec![("experiment", age.clone())];
        if self.is_active() {
            rows.push(("active", age));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use events::experiment::{Comparison, Group};

    use super::*;
    use crate::decider::fold;

    const DAY: i64 = CHECK_MS;

    fn started() -> Started {
        Started {
            name: "timing".into(),
            variants: vec![Variant::Immediate, Variant::Delayed, Variant::Smart],
            share_percent: 100,
            people_min: 30,
            at: Moment(0),
            until: Moment(7 * DAY),
            due: Moment(DAY),
            by: "p-1".into(),
        }
    }

    fn figures(people: u32, low_permille: i32, harms_urgent: bool) -> Figures {
        let group = |variant| Group {
            variant,
            people,
            notifications: people,
            answered_permille: 500,
            median_answer_s: None,
            usefulness_hundredths: None,
            ratings: 0,
            urgent_people: 0,
            urgent_answered_permille: 0,
        };
        let comparison = |variant, low_permille: i32, harms_urgent| Comparison {
            variant,
            difference_permille: low_permille + 50,
            low_permille,
            high_permille: low_permille + 100,
            harms_urgent,
        };
        Figures {
            groups: started().variants.into_iter().map(group).collect(),
            comparisons: vec![
                comparison(Variant::Delayed, -50, harms_urgent),
                comparison(Variant::Smart, low_permille, false),
            ],
            is_cut: false,
        }
    }

    fn decide(history: &[ExperimentEvent], command: &Command) -> Vec<ExperimentEvent> {
        let state = fold::<Experiment>(history);
        state.decide(command, &()).unwrap()
    }

    fn rejected(history: &[ExperimentEvent], command: &Command) -> Rejection {
        match fold::<Experiment>(history).decide(command, &()) {
            Err(DecideError::Rejected(rejection)) => rejection,
            other => panic!("{other:?}"),
        }
    }

    fn check_at(figures: Figures, day: i64, applies: bool) -> Command {
        Command::Check {
            figures,
            at: Moment(day * DAY),
            applies,
        }
    }

    #[test]
    fn a_winner_is_named_only_at_the_end_and_with_enough_people() {
        let history: Vec<ExperimentEvent> = vec![started().into()];
        let too_early = decide(&history, &check_at(figures(500, 20, false), 0, true));
        assert!(too_early.is_empty(), "the first check is not due");
        let early = decide(&history, &check_at(figures(500, 20, false), 1, true));
        assert!(
            matches!(&early[..], [ExperimentEvent::Checked(one)] if one.due == Moment(2 * DAY)),
            "{early:?}"
        );
        for (people, low, applies, expected, count) in [
            (
                500,
                20,
                true,
                Outcome::Winner {
                    variant: Variant::Smart,
                },
                2,
            ),
            (
                500,
                20,
                false,
                Outcome::Winner {
                    variant: Variant::Smart,
                },
                1,
            ),
            (500, -20, true, Outcome::NoDifference, 1),
            (29, 20, true, Outcome::NotEnoughData, 1),
        ] {
            let events = decide(&history, &check_at(figures(people, low, false), 7, applies));
            let ExperimentEvent::Decided(decided) = &events[0] else {
                panic!("{events:?}")
            };
            assert_eq!((decided.outcome, events.len()), (expected, count));
        }
    }

    #[test]
    fn a_harmful_variant_stops_the_experiment_and_is_never_applied() {
        let mut history: Vec<ExperimentEvent> = vec![started().into()];
        history.extend(decide(&history, &check_at(figures(10, 20, true), 1, true)));
        let state = fold::<Experiment>(&history);
        assert!(!state.is_running() && !state.is_active(), "{state:?}");
        let apply = |variant| Command::Apply {
            variant,
            by: "p-1".into(),
            at: Moment(9),
        };
        assert_eq!(
            rejected(&history, &apply(Variant::Delayed)),
            Rejection::Harmful
        );
        history.extend(decide(&history, &apply(Variant::Smart)));
        let state = fold::<Experiment>(&history);
        let assignment = state.assignment("experiment-1", &"p-7".into()).unwrap();
        assert_eq!(
            (assignment.variant, assignment.is_applied),
            (Variant::Smart, true)
        );
        let again = decide(&history, &apply(Variant::Smart));
        assert!(again.is_empty(), "a repetition");
        let withdraw = Command::Withdraw {
            by: "p-1".into(),
            at: Moment(10),
        };
        history.extend(decide(&history, &withdraw));
        assert!(!fold::<Experiment>(&history).is_active());
        assert_eq!(rejected(&history, &withdraw), Rejection::NotApplied);
    }

    #[test]
    fn a_running_experiment_is_stopped_by_a_person_and_applies_nothing() {
        let mut history: Vec<ExperimentEvent> = vec![started().into()];
        let apply = Command::Apply {
            variant: Variant::Smart,
            by: "p-1".into(),
            at: Moment(9),
        };
        assert_eq!(rejected(&history, &apply), Rejection::Running);
        let stop = Command::Stop {
            by: "p-1".into(),
            at: Moment(9),
        };
        history.extend(decide(&history, &stop));
        assert_eq!(rejected(&history, &stop), Rejection::Ended);
        assert!(!fold::<Experiment>(&history).is_active());
    }

    #[test]
    fn people_keep_their_group_and_the_groups_have_similar_sizes() {
        let state = fold::<Experiment>(&[started().into()]);
        let of = |number: u32| state.assignment("experiment-1", &format!("p-{number}").into());
        let count = |variant| {
            let all = (0..3_000).filter_map(of);
            all.filter(|one| one.variant == variant).count()
        };
        for variant in started().variants {
            let count = count(variant);
            assert!((850..1_150).contains(&count), "{variant:?}: {count}");
        }
        assert_eq!(of(7), of(7));
        let tenth = Started {
            share_percent: 10,
            ..started()
        };
        let state = fold::<Experiment>(&[tenth.into()]);
        let taking_part = (0..3_000)
            .filter_map(|n: u32| state.assignment("experiment-1", &format!("p-{n}").into()))
            .count();
        assert!((200..400).contains(&taking_part), "{taking_part}");
    }
}
