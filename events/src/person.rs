//! Defines the events about the preferences of one person, such as the language. The events are stored in the
//! stream `person-<pid>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::preference::ChannelPreference;
use crate::{Moment, PersonId, Personal};

event_enum! {
    /// The events about the preferences of one person.
    #[expect(clippy::large_enum_variant, reason = "most events are of the large variant")]
    PersonEvent of "person" {
        PreferencesChanged "person.preferences_changed" 1,
        AddressSuppressed "person.address_suppressed" 1,
        AddressReleased "person.address_released" 1,
    }
}

/// A language in which the desk writes messages to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "zh-CN")]
    Chinese,
    #[serde(rename = "en")]
    English,
}

/// A daily period in which a person gets only urgent messages. The period begins at the time `from` and ends
/// at the time `to`. The times have the form `HH:MM` in the time zone of the person and are never equal. If
/// `to` is earlier than `from`, the period ends on the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    pub from: String,
    pub to: String,
}

/// The preferences of a person were changed by this person or by an operator. The event contains all
/// preferences and replaces all earlier preferences.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreferencesChanged {
    #[serde(default)]
    pub language: Language,
    /// The time zone of the person, such as `Asia/Shanghai`. If the value is absent, the time zone of the
    /// desk is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// The end of a time in which the person gets only critical messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub do_not_disturb_until: Option<Moment>,
    /// The name of the working calendar of the person. Outside of the working hours, the person gets only urgent
    /// messages. If the value is absent, all hours are working hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// The URL of an iCalendar feed (RFC 5545) with the appointments of the person. The value is encrypted with the
    /// key of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Personal>,
    /// The addresses of the person. Each key of the map is the kind of an address, such as `email` or
    /// `dingtalk`. The values are encrypted with the key of the person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, Personal>,
    /// The preferences for each kind of address, such as `email`. A kind without an entry gets all messages at once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, ChannelPreference>,
    /// False if the person wants a message of its own for each notification. An absent value means true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_aggregated: Option<bool>,
    /// False if the desk must not learn from the answers of the person. The person then takes part in no experiment. An
    /// absent value means true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_learned: Option<bool>,
    /// The document with which the preferences were set (requirements/notifications.md, 用户偏好配置), if they were
    /// set with such a document. The document contains addresses, so it is encrypted with the key of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Personal>,
    pub by: PersonId,
}

impl PreferencesChanged {
    /// Returns true if the desk may collect several notifications in one message to the person.
    pub fn is_aggregated(&self) -> bool {
        self.is_aggregated.unwrap_or(true)
    }

    /// Returns true if the desk may learn from the answers of the person.
    pub fn is_learned(&self) -> bool {
        self.is_learned.unwrap_or(true)
    }
}

impl Personals for PreferencesChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.addresses
            .values_mut()
            .chain(&mut self.presence)
            .chain(&mut self.document)
            .collect()
    }
}

/// A provider reported that an address of the person is wrong. The desk sends nothing to this address until the person
/// enters another one, or until a person releases it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressSuppressed {
    /// The kind of the address, such as `email`.
    pub kind: String,
    /// A hash of the address, encrypted with the key of the person. A guessed address can therefore not be compared with
    /// it after the person was erased.
    pub digest: Personal,
    /// The code in the response of the provider, such as `5.1.1`. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}
impl Personals for AddressSuppressed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.digest]
    }
}

/// A person released a suppressed address, so the desk uses it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressReleased {
    /// The kind of the address, such as `email`.
    pub kind: String,
    pub by: PersonId,
}
impl Personals for AddressReleased {}
