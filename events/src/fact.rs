//! What every event enum of the ledger can do, and the table that makes one.

use crate::{Moment, Personal, Raw};

/// An event of one aggregate: typed in memory, `{type, version, data}` in the ledger.
pub trait Fact: cqrs_es::DomainEvent + 'static {
    /// The aggregate's name; it starts every wire type (`ticket.opened`) and every stream (`ticket-REQ...`).
    const AGGREGATE: &'static str;
    /// Every wire type of the aggregate with its current version.
    const TYPES: &'static [(&'static str, u16)];

    /// The wire type, such as `ticket.node_claimed`.
    fn kind(&self) -> &'static str;
    /// The version this program writes.
    fn version(&self) -> u16;
    /// The `data` member as JSON text.
    fn data(&self) -> serde_json::Result<Box<serde_json::value::RawValue>>;
    /// Reads a stored event as today's shape, going through the upcasters where its version is older.
    fn read(raw: &Raw<'_>) -> Result<Self, Unreadable>;
    /// Every personal value inside, so that it can be sealed before hashing and opened after loading.
    fn personals(&mut self) -> Vec<&mut Personal>;
    /// When it happened, where that is not when it is committed.
    fn occurred_at(&self) -> Option<Moment> {
        None
    }
    /// What the event says about the stream's one deadline.
    fn deadline(&self) -> Deadline {
        Deadline::Unchanged
    }
}

/// What an event does to the deadline of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Unchanged,
    /// Something must happen by then; `wake` sees to it.
    At(Moment),
    /// Nothing is waited for any more.
    Cleared,
}

/// The personal values of one event's data.
pub trait Personals {
    /// Every personal value inside; none by default.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// A stored event that this program can't read; it names the type, the version and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub kind: String,
    pub version: u16,
    pub reason: String,
}

impl Unreadable {
    pub fn unknown(raw: &Raw<'_>) -> Self {
        Self { kind: raw.kind.to_string(), version: raw.version, reason: "unknown event type".into() }
    }
    pub fn shape(raw: &Raw<'_>, error: &serde_json::Error) -> Self {
        Self { kind: raw.kind.to_string(), version: raw.version, reason: error.to_string() }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read event {} version {}: {}", self.kind, self.version, self.reason)
    }
}
impl std::error::Error for Unreadable {}

/// Makes an aggregate's event enum from its table: one line per event, `Variant "wire.type" version`.
macro_rules! facts {
    ($(#[$doc:meta])* $name:ident of $aggregate:literal { $($(#[$event_doc:meta])* $variant:ident $wire:literal $version:literal,)* }
     $(occurred $occurred:expr;)? $(deadline $deadline:expr;)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "type", content = "data")]
        pub enum $name { $($(#[$event_doc])* #[serde(rename = $wire)] $variant($variant),)* }

        $(impl From<$variant> for $name { fn from(data: $variant) -> Self { Self::$variant(data) } })*

        impl $crate::Fact for $name {
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
            $(fn deadline(&self) -> $crate::Deadline { $deadline(self) })?
        }

        impl cqrs_es::DomainEvent for $name {
            fn event_type(&self) -> String { $crate::Fact::kind(self).to_owned() }
            fn event_version(&self) -> String { $crate::Fact::version(self).to_string() }
        }
    };
}
pub(crate) use facts;
