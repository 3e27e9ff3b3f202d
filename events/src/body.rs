//! The stored form of a commit. It contains the metadata once, and all events of one command.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AppCode, Event, Moment, PersonId, Personal};

/// The interface through which a command reached the desk (member `channel` in the stored JSON).
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

/// The metadata of a commit: who made the commit, through which interface, and for which reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub actor: PersonId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
    #[serde(rename = "channel")]
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCode>,
    /// The correlation id. All commits that follow from the same request have the same correlation
    /// id.
    pub correlation: String,
    /// The id of the event (`<stream>:<sequence>`) or of the request that led to this commit.
    pub causation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Personal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Personal>,
}

impl Meta {
    /// Returns the metadata for a commit that the desk itself makes. `causation` is the id of the
    /// event that led to this commit.
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

/// One stored event of a commit. The data of the event is not decoded yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub version: u16,
    /// The instant at which the event happened, such as the time in an imported row. Absent if this
    /// instant is the time of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Moment>,
    #[serde(borrow)]
    pub data: Cow<'a, RawValue>,
}

/// The stored form of a commit as JSON: `{ meta, events[] }`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body<'a> {
    pub meta: Meta,
    #[serde(borrow)]
    pub events: Vec<Raw<'a>>,
}

impl<'a> Body<'a> {
    /// Reads the stored form of a commit. The data of each event is decoded later, because the
    /// decoding depends on the event type.
    pub fn read(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// Returns the stored form of a commit. Before this call, the caller must encrypt the personal
/// values.
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
