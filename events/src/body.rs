//! The body of a commit: the metadata once, then all events of one command.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AppCode, Event, Moment, PersonId, Personal};

/// How the command arrived at the desk (wire key `channel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Web,
    Mobile,
    Api,
    #[default]
    System,
    Automatic,
    Mqtt,
    Mail,
    Chat,
}

/// Actor, origin and cause of a commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub actor: PersonId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
    #[serde(rename = "channel")]
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCode>,
    /// The id that all consequences of one request share.
    pub correlation: String,
    /// The event id (`<stream>:<sequence>`) or request id that caused this commit.
    pub causation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Personal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Personal>,
}

impl Meta {
    /// Returns the metadata of a commit that the desk makes by itself because of `causation`.
    pub fn system(correlation: impl Into<String>, causation: impl Into<String>) -> Self {
        Self {
            actor: PersonId::system(),
            origin: Origin::System,
            correlation: correlation.into(),
            causation: causation.into(),
            ..Self::default()
        }
    }
    /// Returns the personal values of the metadata.
    pub fn personals(&mut self) -> Vec<&mut Personal> {
        self.ip
            .iter_mut()
            .chain(self.user_agent.iter_mut())
            .collect()
    }
}

/// One event of a body, with undecoded data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub version: u16,
    /// When the event happened, if that differs from the commit time (an imported row).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Moment>,
    #[serde(borrow)]
    pub data: Cow<'a, RawValue>,
}

/// The body of a commit as text: `{ meta, events[] }`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body<'a> {
    pub meta: Meta,
    #[serde(borrow)]
    pub events: Vec<Raw<'a>>,
}

impl<'a> Body<'a> {
    /// Reads a body; the data of its events is decoded later by type.
    pub fn read(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// Writes the body of a commit. The caller must have sealed the personal values.
pub fn write<F: Event>(meta: &Meta, events: &[(F, Option<Moment>)]) -> serde_json::Result<Vec<u8>> {
    let events = events
        .iter()
        .map(|(event, occurred_at)| {
            Ok(Raw {
                kind: Cow::Borrowed(event.kind()),
                version: event.version(),
                occurred_at: *occurred_at,
                data: Cow::Owned(event.data()?),
            })
        })
        .collect::<serde_json::Result<Vec<_>>>()?;
    serde_json::to_vec(&Body {
        meta: meta.clone(),
        events,
    })
}
