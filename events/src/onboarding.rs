//! Defines the events about the onboarding of one person. The events are stored in the stream `onboarding-<pid>`.
//! Most of the onboarding is derived from the preferences and the messages of the person, so the events contain only
//! the steps that the person skipped (requirements/notifications.md, UserOnboarding).

use serde::{Deserialize, Serialize};

use crate::PersonId;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events about the onboarding of one person.
    OnboardingEvent of "onboarding" {
        StepSkipped "onboarding.step_skipped" 1,
        StepResumed "onboarding.step_resumed" 1,
    }
}

/// A step of the onboarding, with the name of the requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    SetupBasicNotifications,
    ConfigurePreferredChannels,
    CustomizeNotificationRules,
    EnableAdvancedFeatures,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 4] = [
        Self::SetupBasicNotifications,
        Self::ConfigurePreferredChannels,
        Self::CustomizeNotificationRules,
        Self::EnableAdvancedFeatures,
    ];

    /// Returns the step with the given name. Returns `None` for any other name.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// Returns the name of the step, such as `setup_basic_notifications`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetupBasicNotifications => "setup_basic_notifications",
            Self::ConfigurePreferredChannels => "configure_preferred_channels",
            Self::CustomizeNotificationRules => "customize_notification_rules",
            Self::EnableAdvancedFeatures => "enable_advanced_features",
        }
    }
}

/// The person skipped a step. The onboarding offers the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSkipped {
    pub step: Step,
    pub by: PersonId,
}
impl Personals for StepSkipped {}

/// The onboarding offers a skipped step again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResumed {
    pub step: Step,
    pub by: PersonId,
}
impl Personals for StepResumed {}
