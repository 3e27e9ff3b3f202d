//! One type per kind of id, so that a node is never taken for a line.

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);
        impl $name {
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl From<&str> for $name { fn from(text: &str) -> Self { Self(text.to_owned()) } }
        impl From<String> for $name { fn from(text: String) -> Self { Self(text) } }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) }
        }
    )*};
}

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { self.0.fmt(f) }
        }
    )*};
}

text_id! {
    /// A person, by a random id that says nothing about them; names live in the key store.
    Pid;
    /// A ticket number, such as `REQ20261122000017`, or `<SOURCE>-<case>` for an imported one.
    TicketSn;
    /// The code of a calling application.
    AppCode;
    /// An uploaded file, by a random id that nobody can guess (`att-` and 32 hexadecimal digits).
    AttachmentId;
    /// A form that was not sent.
    DraftId;
}

number_id! {
    ServiceId;
    WorkflowId;
    CatalogId;
    RoleId;
    /// A node of a workflow definition (`state_id` for BlueKing clients).
    NodeId;
    /// A line of a workflow definition (`transition` for BlueKing clients).
    LineId;
    /// An instant, in milliseconds since 1970 UTC.
    Moment;
}

impl Pid {
    /// The desk itself, where nobody else acted.
    pub fn system() -> Self {
        Self("system".into())
    }
    /// A name that was asked for and is not registered; it matches nobody and must never be stored.
    pub fn unknown(name: &str) -> Self {
        Self(format!("?{name}"))
    }
    pub fn is_unknown(&self) -> bool {
        self.0.starts_with('?')
    }
    pub fn is_system(&self) -> bool {
        self.0 == "system"
    }
    /// Says whether a text has the form of a person id: `p` and 24 hexadecimal digits.
    pub fn is_id(text: &str) -> bool {
        text.strip_prefix('p').is_some_and(|digits| digits.len() == 24 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    }
}

impl AttachmentId {
    /// The id a text is, if it looks like one.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("att-")?;
        let is_hex = digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| Self(text.to_owned()))
    }
    /// The stream that holds this attachment.
    pub fn stream(&self) -> String {
        format!("attachment-{}", self.0)
    }
}

impl DraftId {
    /// The stream that holds this draft.
    pub fn stream(&self) -> String {
        format!("draft-{}", self.0)
    }
}

impl Moment {
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl TicketSn {
    /// The stream that holds this ticket.
    pub fn stream(&self) -> String {
        format!("ticket-{}", self.0)
    }
}
