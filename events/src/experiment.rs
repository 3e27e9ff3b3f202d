//! Defines the events of one experiment with the time of messages. The events are stored in the stream
//! `experiment-<id>`. An experiment compares groups of people who get their messages at different times
//! (requirements/notifications.md, A/B测试框架).

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, PersonId};

/// The name of the deadline at which the desk computes the figures of the experiment.
pub const CHECK: &str = "check";

event_enum! {
    /// The events of one experiment.
    ExperimentEvent of "experiment" {
        Started "experiment.started" 1,
        Checked "experiment.checked" 1,
        Decided "experiment.decided" 1,
        Stopped "experiment.stopped" 1,
        Applied "experiment.applied" 1,
        Withdrawn "experiment.withdrawn" 1,
    }
    deadlines |event: &ExperimentEvent| match event {
        ExperimentEvent::Started(started) => vec![DeadlineChange::set(CHECK, started.due)],
        ExperimentEvent::Checked(checked) => vec![DeadlineChange::set(CHECK, checked.due)],
        ExperimentEvent::Decided(_) | ExperimentEvent::Stopped(_) => vec![DeadlineChange::clear(CHECK)],
        ExperimentEvent::Applied(_) | ExperimentEvent::Withdrawn(_) => Vec::new(),
    };
}

/// A rule for the time at which a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The message is sent at once.
    Immediate,
    /// The message is sent 15 minutes after its event.
    Delayed,
    /// The message is sent at an hour at which the person usually answers, at most 4 hours after its event.
    Smart,
}

impl Variant {
    /// The names of all variants, as in the stored events and in the API.
    pub const NAMES: &'static [&'static str] = &["immediate", "delayed", "smart"];

    /// Returns the variant with the given name, such as `delayed`. Returns `None` for any other name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "immediate" => Self::Immediate,
            "delayed" => Self::Delayed,
            "smart" => Self::Smart,
            _ => return None,
        })
    }

    /// Returns the name of the variant, such as `delayed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Delayed => "delayed",
            Self::Smart => "smart",
        }
    }
}

/// The variant that decides the time of the messages of one notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The name of the stream of the experiment. The name is empty if the notification policy, and no experiment, sends
    /// updates at learned hours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub experiment: String,
    pub variant: Variant,
    /// True if the experiment has ended and its variant applies to all people. The notification is then no measurement.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_applied: bool,
}

/// An experiment was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The name of the experiment for people.
    pub name: String,
    /// The variants. The first one is the control: the other variants are compared with it.
    pub variants: Vec<Variant>,
    /// The percentage of people who take part.
    pub share_percent: u8,
    /// The lowest number of people in each group. With fewer people, the experiment has no winner.
    pub people_min: u32,
    pub at: Moment,
    /// The end of the experiment.
    pub until: Moment,
    /// The time of the first check of the figures.
    pub due: Moment,
    pub by: PersonId,
}
impl Personals for Started {}

/// The figures of one group of people. A share is the mean of the shares of the people, in tenths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub variant: Variant,
    /// The number of people with at least one measured notification.
    pub people: u32,
    /// The number of measured notifications that are not urgent.
    pub notifications: u32,
    /// The share of these notifications that the person answered in time.
    pub answered_permille: u32,
    /// The time after which half of these notifications were answered, in seconds. The value is absent if fewer than
    /// half of them were answered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_answer_s: Option<u32>,
    /// The average rating of usefulness in the feedback of the group, in hundredths. The value is absent without
    /// ratings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usefulness_hundredths: Option<u32>,
    /// The number of ratings of usefulness.
    #[serde(default)]
    pub ratings: u32,
    /// The number of people with at least one measured urgent notification.
    pub urgent_people: u32,
    /// The share of the urgent notifications that the person answered in time.
    pub urgent_answered_permille: u32,
}

/// The difference of a variant to the control, in tenths of a percent, with an interval. The true difference is in the
/// interval with a probability of about 95 %, for all variants together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub variant: Variant,
    pub difference_permille: i32,
    pub low_permille: i32,
    pub high_permille: i32,
    /// True if people in the group of the variant certainly answer fewer urgent notifications in time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harms_urgent: bool,
}

/// The figures of an experiment at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub groups: Vec<Group>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// True if the experiment has more notifications than the desk counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// The desk computed the figures before the end of the experiment. The experiment continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub figures: Figures,
    pub at: Moment,
    /// The time of the next check.
    pub due: Moment,
}
impl Personals for Checked {}

/// The result of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// One variant is better than the others.
    Winner { variant: Variant },
    /// No variant is certainly better.
    NoDifference,
    /// At least one group has too few people.
    NotEnoughData,
}

/// The experiment ended at its planned time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub figures: Figures,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub at: Moment,
}
impl Personals for Decided {}

/// The experiment ended before its planned time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The figures at the end. The value is absent if a person stopped the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// The variant that harms the answers to urgent notifications. The value is absent if a person stopped the
    /// experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harmful: Option<Variant>,
    /// The person who stopped the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    pub at: Moment,
}
impl Personals for Stopped {}

/// A variant now applies to the messages of all people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub variant: Variant,
    /// The person who applied the variant. The value is absent if the notification policy allows the desk to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    pub at: Moment,
}
impl Personals for Applied {}

/// The applied variant does not apply any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: PersonId,
    pub at: Moment,
}
impl Personals for Withdrawn {}
