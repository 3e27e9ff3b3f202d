//! Defines the format in which a commit is stored. A stored commit contains all events that one command
//! created, and the metadata of this command.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AppCode, Event, Moment, PersonId, Personal};

/// The interface through which a command reached the desk. In a stored commit, the JSON member `channel`
/// contains this value.
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

/// The metadata of a commit: the person who made the commit, the interface that the person used, and the
/// cause of the commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub actor: PersonId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
    #[serde(rename = "channel")]
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCode>,
    /// The correlation id. All commits that follow from one request have the same correlation id.
    pub correlation: String,
    /// The id of the event (`<stream>:<sequence>`) or of the request that caused this commit.
    pub causation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Personal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Personal>,
}

impl Meta {
    /// Returns the metadata for a commit that the desk makes without a person. The parameter `causation` is
    /// the id of the event that caused this commit.
    pub fn system(correlation: impl Into<String>, causation: impl Into<String>) -> Self {
        Self {
            actor: PersonId::system(),
            origin: Origin::System,
            correlation: correlation.into(),
            causation: causation.into(),
            ..Self::default()
        }
    }
    /// Returns all personal values in the metadata. Personal values are encrypted in the ledger.
    pub fn personals(&mut self) -> Vec<&mut Personal> {
        self.ip
            .iter_mut()
            .chain(self.user_agent.iter_mut())
            .collect()
    }
}

/// One stored event of a commit. The member `data` contains the data of the event as JSON text. The program
/// decodes this text later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub version: u16,
    /// The time at which the event happened, such as the time in an imported row. The value is absent if the
    /// event happened at the time of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Moment>,
    #[serde(borrow)]
    pub data: Cow<'a, RawValue>,
}

/// A stored commit. In the ledger, a commit is the JSON object `{ meta, events[] }`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body<'a> {
    pub meta: Meta,
    #[serde(borrow)]
    pub events: Vec<Raw<'a>>,
}

impl<'a> Body<'a> {
    /// Parses a stored commit. The data of the events is not decoded here, because the format of the data
    /// depends on the event type.
    pub fn read(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// Converts a commit to the bytes that the ledger stores. The caller must encrypt all personal values before
/// this call.
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
