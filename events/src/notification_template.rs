//! Defines the events of one notification template. The events are stored in the stream
//! `notification_template-<key>`. A template contains the texts of the messages about one fact, such as
//! `work_assigned`. A version of a template never changes. A change of the texts creates a new version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::PersonId;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one notification template.
    NotificationTemplateEvent of "notification_template" {
        Drafted "notification_template.drafted" 1,
        Published "notification_template.published" 1,
        Withdrawn "notification_template.withdrawn" 1,
    }
}

/// The subject and the body of a message, with variables such as `{{ ticket.id }}`. If the subject is empty,
/// the message has the built-in subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    pub body: String,
    /// The names of the variables whose values messages with this text do not show, such as `ticket.title`. A mark is in
    /// their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
}

/// The texts of one version. The keys of the outer map are locales, such as `zh-CN`. The keys of the inner
/// maps are formats, such as `email`.
pub type Texts = BTreeMap<String, BTreeMap<String, Text>>;

/// A new version of the template was drafted. The desk does not use the version before it is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drafted {
    /// The number of the version. The first version has the number 1.
    pub version: u32,
    /// The author of the version.
    pub by: PersonId,
    pub texts: Texts,
    /// The JSON document from which the texts were imported. The desk returns this document unchanged. The
    /// member is absent if the texts were not imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
}
impl Personals for Drafted {}

/// A version of the template was published. The desk uses this version for its messages from now on, instead of
/// the version that was published before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub version: u32,
    pub by: PersonId,
}
impl Personals for Published {}

/// The published version was withdrawn. The desk uses its built-in texts from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: PersonId,
}
impl Personals for Withdrawn {}
