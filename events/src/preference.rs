//! Defines the words of notification preferences and of the notification policy: categories of facts, bands of
//! priorities, and how often messages are sent.

use serde::{Deserialize, Serialize};

/// The category of a fact. People choose channels and times for each category (requirements/notifications.md, the
/// preferences of a user).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Approval,
    Assigned,
    Escalated,
    Updated,
    Commented,
    Resolved,
}

impl Category {
    /// The names of all categories, as in the stored events and in the API.
    pub const NAMES: &'static [&'static str] = &[
        "approval",
        "assigned",
        "escalated",
        "updated",
        "commented",
        "resolved",
    ];

    /// Returns the category with the given name, such as `approval`. Returns `None` for any other name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "approval" => Self::Approval,
            "assigned" => Self::Assigned,
            "escalated" => Self::Escalated,
            "updated" => Self::Updated,
            "commented" => Self::Commented,
            "resolved" => Self::Resolved,
            _ => return None,
        })
    }
    /// Returns the name of the category, such as `approval`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Assigned => "assigned",
            Self::Escalated => "escalated",
            Self::Updated => "updated",
            Self::Commented => "commented",
            Self::Resolved => "resolved",
        }
    }
}

/// A band of ticket priorities. The notification policy assigns each priority key to a band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    Critical,
    High,
    #[default]
    Medium,
    Low,
}

impl Band {
    /// Returns the band with the given name, such as `critical`. Returns `None` for any other name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "critical" => Self::Critical,
            "high" => Self::High,
            "medium" => Self::Medium,
            "low" => Self::Low,
            _ => return None,
        })
    }
    /// Returns the name of the band, such as `critical`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// How often a channel sends messages to a person. The order is from the fewest messages to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// The channel sends no messages.
    Off,
    /// The channel sends one message at fixed times of the day. It lists all notifications since the last time.
    Batch,
    /// The channel sends each message when its fact happens.
    #[default]
    Immediate,
}

impl Frequency {
    /// The names of all frequencies, as in the stored events and in the API.
    pub const NAMES: &'static [&'static str] = &["immediate", "batch", "off"];

    /// Returns the frequency with the given name, such as `batch`. Returns `None` for any other name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "immediate" => Self::Immediate,
            "batch" => Self::Batch,
            "off" => Self::Off,
            _ => return None,
        })
    }
    /// Returns the name of the frequency, such as `batch`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Batch => "batch",
            Self::Off => "off",
        }
    }
}

/// The preferences of a person for one kind of address, such as `email`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelPreference {
    #[serde(default)]
    pub frequency: Frequency,
    /// The times of the day at which collected notifications are sent, in the form `HH:MM` and in the time zone of
    /// the person. If the list is empty, the desk uses 09:00, 14:00 and 17:00.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch_times: Vec<String>,
    /// The categories for which the channel sends messages. The value is absent if the channel sends messages for
    /// all categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<Category>>,
}

impl ChannelPreference {
    /// Returns true if the person gets messages of this category.
    pub fn wants(&self, category: Category) -> bool {
        let categories = self.categories.as_ref();
        self.frequency != Frequency::Off
            && categories.is_none_or(|wanted| wanted.contains(&category))
    }

    /// Switches one category off or on. A channel that is switched off as a whole is switched on for this category
    /// only.
    pub fn switch(&mut self, category: Category, is_on: bool) {
        if self.wants(category) == is_on {
            return;
        }
        let all = Category::NAMES
            .iter()
            .filter_map(|name| Category::read(name));
        if self.frequency == Frequency::Off {
            self.frequency = Frequency::Immediate;
            self.categories = Some(Vec::new());
        }
        let mut wanted = self
            .categories
            .take()
            .unwrap_or_else(|| all.clone().collect());
        wanted.retain(|one| *one != category);
        if is_on {
            wanted.push(category);
        }
        let is_complete = all.clone().all(|one| wanted.contains(&one));
        self.categories = (!is_complete).then_some(wanted);
    }
}
