//! The trait of all event enums, and the macro that generates an enum from its table.

use std::borrow::Cow;

use crate::{Moment, Personal, Raw};

/// An event of one aggregate: typed in memory, `{type, version, data}` in the ledger.
pub trait Event: cqrs_es::DomainEvent + 'static {
    /// The name of the aggregate, which starts each wire type (`ticket.opened`) and stream
    /// (`ticket-REQ...`).
    const AGGREGATE: &'static str;
    /// All wire types of the aggregate with their current version.
    const TYPES: &'static [(&'static str, u16)];

    /// Returns the wire type, such as `ticket.node_claimed`.
    fn kind(&self) -> &'static str;
    /// Returns the version that this program writes.
    fn version(&self) -> u16;
    /// Returns the `data` member as JSON text.
    fn data(&self) -> serde_json::Result<Box<serde_json::value::RawValue>>;
    /// Reads a stored event in the current shape; older versions pass through the upcasters.
    fn read(raw: &Raw<'_>) -> Result<Self, Unreadable>;
    /// Returns every personal value of the event, so that it can be sealed before hashing and
    /// opened after loading.
    fn personals(&mut self) -> Vec<&mut Personal>;
    /// Returns when the event happened, if that differs from the commit time.
    fn occurred_at(&self) -> Option<Moment> {
        None
    }
    /// Returns how the event changes the named deadlines of its stream; empty for no change.
    fn deadlines(&self) -> Vec<DeadlineChange> {
        Vec::new()
    }
}

/// The change that an event makes to one named deadline of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineChange {
    /// The deadline id, which is unique within the stream, such as `attempt` or `remind/4`.
    pub id: Cow<'static, str>,
    /// The instant at which the work is due; `None` if the deadline is cleared.
    pub due: Option<Moment>,
}

impl DeadlineChange {
    /// Returns the change that sets a deadline. An existing deadline with this id is replaced.
    pub fn set(id: impl Into<Cow<'static, str>>, due: Moment) -> Self {
        Self {
            id: id.into(),
            due: Some(due),
        }
    }
    /// Returns the change that clears a deadline.
    pub fn clear(id: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: id.into(),
            due: None,
        }
    }
}

/// Access to the personal values in the data of one event.
pub trait Personals {
    /// Returns every personal value of the data; none by default.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// A stored event that this program cannot read, with its type, its version and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub kind: String,
    pub version: u16,
    pub reason: String,
}

impl Unreadable {
    pub fn unknown(raw: &Raw<'_>) -> Self {
        Self {
            kind: raw.kind.to_string(),
            version: raw.version,
            reason: "unknown event type".into(),
        }
    }
    pub fn shape(raw: &Raw<'_>, error: &serde_json::Error) -> Self {
        Self {
            kind: raw.kind.to_string(),
            version: raw.version,
            reason: error.to_string(),
        }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot read event {} version {}: {}",
            self.kind, self.version, self.reason
        )
    }
}
impl std::error::Error for Unreadable {}

/// Generates the event enum of an aggregate from its table: one row per event, `Variant "wire.type"
/// version`.
macro_rules! event_enum {
    ($(#[$doc:meta])* $name:ident of $aggregate:literal { $($(#[$event_doc:meta])* $variant:ident $wire:literal $version:literal,)* }
     $(occurred $occurred:expr;)? $(deadlines $deadlines:expr;)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "type", content = "data")]
        pub enum $name { $($(#[$event_doc])* #[serde(rename = $wire)] $variant($variant),)* }

        $(impl From<$variant> for $name { fn from(data: $variant) -> Self { Self::$variant(data) } })*

        impl $crate::Event for $name {
            const AGGREGATE: &'static str = $aggregate;
            const TYPES: &'static [(&'static str, u16)] = &[$(($wire, $version)),*];
            fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $wire),* }
            }
            fn version(&self) -> u16 {
                match self { $(Self::$variant(_) => $version),* }
            }
            fn data(&self) -> serde_json::Result<Box<serde_json::value::RawValue>> {
                match self { $(Self::$variant(data) => serde_json::value::to_raw_value(data)),* }
            }
            fn read(raw: &$crate::Raw<'_>) -> Result<Self, $crate::Unreadable> {
                match raw.kind.as_ref() {
                    $($wire => $crate::upcast::read(raw, $version).map(Self::$variant),)*
                    _ => Err($crate::Unreadable::unknown(raw)),
                }
            }
            fn personals(&mut self) -> Vec<&mut $crate::Personal> {
                match self { $(Self::$variant(data) => $crate::Personals::personals(data)),* }
            }
            $(fn occurred_at(&self) -> Option<$crate::Moment> { $occurred(self) })?
            $(fn deadlines(&self) -> Vec<$crate::DeadlineChange> { $deadlines(self) })?
        }

        impl cqrs_es::DomainEvent for $name {
            fn event_type(&self) -> String { $crate::Event::kind(self).to_owned() }
            fn event_version(&self) -> String { $crate::Event::version(self).to_string() }
        }
    };
}
pub(crate) use event_enum;
