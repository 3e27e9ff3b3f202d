//! Defines the events of one notification policy. The events are stored in the stream
//! `notification_policy-<name>`. A notification policy names the channel accounts that send messages. The
//! desk uses only the policy with the name `default`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::notification::Fact;
use crate::person::{Language, QuietHours};
use crate::preference::{Band, Category, ChannelPreference, Frequency};
use crate::workflow::Group;
use crate::{CategoryId, RoleId};

event_enum! {
    /// The events of one notification policy.
    NotificationPolicyEvent of "notification_policy" {
        Defined "notification_policy.defined" 1,
    }
}

/// A notification policy was defined. This definition replaces an earlier definition of the same policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The names of the channel accounts that send a message about each notification. An account sends no
    /// message to a person who has no address for its channel.
    pub accounts: Vec<String>,
    /// The names of the channel accounts that send a message, one after another, if no account of `accounts` has
    /// accepted it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// The keys of the ticket priorities that are urgent. A notification about a ticket with an urgent
    /// priority ignores quiet hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urgent: Vec<String>,
    /// The keys of the ticket priorities that are critical. A notification about a ticket with a critical priority
    /// is never held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
    /// The user names of the operators. They get notifications about problems of the desk, such as a node without
    /// processors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// The band of each priority key. A key without an entry is high if `urgent` contains it, and otherwise medium.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bands: BTreeMap<String, Band>,
    /// The rules that limit or raise the frequency that people choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// The defaults of teams for the preferences of their people. An earlier team has precedence over a later one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Team>,
    /// The subscriptions of managers to tickets that meet a condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<Subscription>,
    /// The escalation chain for each ticket priority. Each key of the map is the key of a priority, and each value is
    /// the name of a chain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chains: BTreeMap<String, String>,
    /// True if the author of a version of a notification template may publish this version. Otherwise, another
    /// person must publish it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_publisher: bool,
    /// The name of the desk in messages (`system.name` in notification templates). If the value is empty, the name
    /// is `Ledgerdesk`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system_name: String,
    /// The address for questions of people (`system.support_email` in notification templates).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub support_email: String,
    /// On average, one of this number of notifications contains questions for feedback. The value 0 switches the
    /// questions off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub feedback_one_in: u32,
    /// True if the winner of an experiment is applied without a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub applies_winner: bool,
    /// True if the desk learns at which hours each person answers, and sends updates at these hours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learns_times: bool,
    /// True if the desk learns through which channel account each person answers, and uses this account first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learns_channels: bool,
    /// The facts whose messages the desk drops instead of holding them, for example because of quiet hours. The inbox
    /// shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub perishable: Vec<Fact>,
    /// The rules for chat groups of tickets. The value is absent if the desk creates no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_groups: Option<ChatGroups>,
}
impl Personals for Defined {}

/// The rules for chat groups of tickets. A person can request a group for any ticket. If `priorities` and `categories` are
/// both empty, only people request groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatGroups {
    /// The channel account (the configured sender) that owns the groups.
    pub account: String,
    /// The keys of the ticket priorities whose tickets get a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<String>,
    /// The nodes of the service catalog whose tickets get a group. The nodes below them are included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<CategoryId>,
    /// The categories of the messages that the group gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Category>,
    /// The language of the name and the messages of a group.
    #[serde(default)]
    pub language: Language,
    /// True if a group stays on the platform after its ticket has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
    /// What the desk does with free text that a person writes to it in a group.
    #[serde(default, skip_serializing_if = "is_none")]
    pub remarks: GroupRemarks,
}

/// What the desk does with a message to it in the group of a ticket that is no command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupRemarks {
    /// The message changes nothing. The desk answers with the names of the commands.
    #[default]
    None,
    /// The message is a remark of the ticket.
    Addressed,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_none(remarks: &GroupRemarks) -> bool {
    *remarks == GroupRemarks::None
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A rule that limits or raises how often channels send messages. An empty list applies to all values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
    /// The names of channels, such as `email`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The lowest frequency. A floor has precedence over every cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Frequency>,
    /// The highest frequency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Frequency>,
}

/// The defaults of a team. They apply to a person of the team who made no choice of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// The id of a department in the directory of the organization. Its sub-departments belong to the team.
    pub department: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// The name of a working calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// The preferences for each kind of address, such as `email`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, ChannelPreference>,
    /// False if the desk sends a message of its own for each notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_aggregated: Option<bool>,
}

/// A subscription: people who get notifications about tickets that meet a condition, or about people with many tickets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub name: String,
    /// The user names of people who get the notifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// The role whose members get the notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleId>,
    /// The events of a ticket that cause a notification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<Occasion>,
    /// The condition on the values of the ticket. A group without clauses is true for every ticket.
    #[serde(default)]
    pub when: Group,
    /// If the value is present, the notifications are about people for whom a ticket waits and who have more open
    /// tickets than this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_above: Option<u32>,
}

/// An event of a ticket about which a subscription can notify people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The ticket entered a node that waits for people.
    Waiting,
    PriorityChanged,
    /// Fields of the ticket changed.
    Changed,
    Escalated,
    Suspended,
    Resumed,
    /// An automatic node failed.
    Failed,
    /// The ticket is finished or terminated, or a manager set a final status.
    Ended,
}

impl Occasion {
    /// All occasions, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::PriorityChanged,
        Self::Changed,
        Self::Escalated,
        Self::Suspended,
        Self::Resumed,
        Self::Failed,
        Self::Ended,
    ];

    /// The names of all occasions, in the same order.
    pub const NAMES: &'static [&'static str] = &[
        "waiting",
        "priority_changed",
        "changed",
        "escalated",
        "suspended",
        "resumed",
        "failed",
        "ended",
    ];

    /// Returns the name of the occasion in events and in the APIs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::PriorityChanged => "priority_changed",
            Self::Changed => "changed",
            Self::Escalated => "escalated",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::Ended => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Occasion;

    #[test]
    fn each_occasion_has_one_name() {
        for (occasion, name) in Occasion::ALL.into_iter().zip(Occasion::NAMES) {
            assert_eq!(occasion.name(), *name);
            assert_eq!(serde_json::json!(occasion), *name);
        }
        assert_eq!(Occasion::ALL.len(), Occasion::NAMES.len());
    }
}
