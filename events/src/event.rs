//! Defines the trait that all event enums implement. Also defines the macro that generates an event enum from
//! a table of event types.

use std::borrow::Cow;

use crate::{Moment, Personal, Raw};

/// An event of one kind of aggregate (an object that changes only through its events, such as a ticket). In
/// memory, an event is a Rust value. In the ledger (the store of all events), an event is the JSON object
/// `{type, version, data}`.
pub trait Event: cqrs_es::DomainEvent + 'static {
    /// The name of the aggregate. Each event type (such as `ticket.opened`) and each stream name
    /// (such as `ticket-REQ...`) starts with this name.
    const AGGREGATE: &'static str;
    /// All event types of this kind of aggregate (object that changes through events), each with its current
    /// version.
    const TYPES: &'static [(&'static str, u16)];

    /// Returns the event type as the text that the ledger stores, such as `ticket.node_claimed`.
    fn kind(&self) -> &'static str;
    /// Returns the current version of the event type.
    fn version(&self) -> u16;
    /// Returns the member `data` of the stored event as JSON text.
    fn data(&self) -> serde_json::Result<Box<serde_json::value::RawValue>>;
    /// Reads an event from the ledger. If the stored event has an old version, its data is converted to the
    /// current version.
    fn read(raw: &Raw<'_>) -> Result<Self, Unreadable>;
    /// Returns all personal values in the event. The caller encrypts the personal values before the event is
    /// stored, and decrypts the values after the event is loaded.
    fn personals(&mut self) -> Vec<&mut Personal>;
    /// Returns the time at which the event happened. Returns `None` if the event happened at the time of its
    /// commit.
    fn occurred_at(&self) -> Option<Moment> {
        None
    }
    /// Returns the deadlines that this event sets or clears. The deadlines belong to the stream of the event.
    fn deadlines(&self) -> Vec<DeadlineChange> {
        Vec::new()
    }
}

/// A change of one deadline of a stream: the deadline is set or cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineChange {
    /// The id of the deadline, such as `attempt` or `remind/4`. The id is unique within the stream.
    pub id: Cow<'static, str>,
    /// The time of the deadline. `None` if the change clears the deadline.
    pub due: Option<Moment>,
}

impl DeadlineChange {
    /// Returns a change that sets a deadline. The new deadline replaces a deadline that has the same id.
    pub fn set(id: impl Into<Cow<'static, str>>, due: Moment) -> Self {
        Self {
            id: id.into(),
            due: Some(due),
        }
    }
    /// Returns a change that clears a deadline.
    pub fn clear(id: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: id.into(),
            due: None,
        }
    }
}

/// Gives access to the personal values in an event. A personal value is encrypted in the ledger with the key
/// of one person.
pub trait Personals {
    /// Returns all personal values in the event. The default implementation returns none.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// An error: this program cannot read a stored event. The error contains the event type, the version and the
/// reason.
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

/// Generates the event enum of one kind of aggregate (an object that changes only through its events). The
/// input is a table. Each row of the table describes one event type in the form
/// `Variant "wire.type" version`.
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
