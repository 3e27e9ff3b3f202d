//! The body of a commit: who and why once, then all events of one command.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AppCode, Fact, Moment, Personal, Pid};

/// How the command reached the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
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

/// Who did it, through what, and why; once per commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub actor: Pid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Pid>,
    pub channel: Channel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCode>,
    /// One id for everything that followed from the same request.
    pub correlation: String,
    /// The event id (`<stream>:<sequence>`) or request id that made this happen.
    pub causation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Personal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Personal>,
}

impl Meta {
    /// The desk acting by itself because of `causation`.
    pub fn system(correlation: impl Into<String>, causation: impl Into<String>) -> Self {
        Self { actor: Pid::system(), channel: Channel::System, correlation: correlation.into(), causation: causation.into(), ..Self::default() }
    }
    /// The personal values of the metadata.
    pub fn personals(&mut self) -> Vec<&mut Personal> {
        self.ip.iter_mut().chain(self.user_agent.iter_mut()).collect()
    }
}

/// One event as it stands in a body, its data still unread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub version: u16,
    /// When it happened, where that is not when it was committed (an imported row).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Moment>,
    #[serde(borrow)]
    pub data: Cow<'a, RawValue>,
}

/// A commit's body as text: `{ meta, events[] }`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body<'a> {
    pub meta: Meta,
    #[serde(borrow)]
    pub events: Vec<Raw<'a>>,
}

impl<'a> Body<'a> {
    /// Reads a body; its events stay unread until someone asks for them by type.
    pub fn read(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// Writes the body of a commit. Personal values must have been sealed before.
pub fn write<F: Fact>(meta: &Meta, events: &[(F, Option<Moment>)]) -> serde_json::Result<Vec<u8>> {
    let events = events
        .iter()
        .map(|(fact, occurred_at)| {
            Ok(Raw { kind: Cow::Borrowed(fact.kind()), version: fact.version(), occurred_at: *occurred_at, data: Cow::Owned(fact.data()?) })
        })
        .collect::<serde_json::Result<Vec<_>>>()?;
    serde_json::to_vec(&Body { meta: meta.clone(), events })
}
