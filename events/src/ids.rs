//! Defines the types of ids. Each kind of id has its own Rust type. The compiler therefore rejects code that
//! uses a node id as a transition id, for example.

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
    /// The id of a person. The id is a random text without personal data. The name of the person is in the
    /// key store.
    PersonId;
    /// The number of a ticket, such as `REQ20261122000017`. The number of an imported ticket has
    /// the form `<SOURCE>-<case>`.
    TicketSn;
    /// The code (the unique name) of a client app.
    AppCode;
    /// The id of an uploaded file. The id consists of `att-` and 32 random hexadecimal digits. People therefore
    /// cannot guess the id of a file.
    AttachmentId;
    /// The id of a draft (a form that was saved but not submitted).
    DraftId;
}

number_id! {
    ServiceId;
    WorkflowId;
    CategoryId;
    RoleId;
    /// The id of a node in a workflow definition. BlueKing clients call this id `state_id`.
    NodeId;
    /// The id of a transition in a workflow definition. BlueKing clients call this id `transition`.
    TransitionId;
    /// A point in time, in milliseconds since 1970-01-01 00:00 UTC.
    Moment;
}

impl PersonId {
    /// Returns the id that represents the desk itself. Events contain this id if no person acted.
    pub fn system() -> Self {
        Self("system".into())
    }
    /// Returns a special id for a user name that belongs to no registered person. This special id is
    /// different from the ids of all registered people. The special id must never be stored, because it
    /// contains the user name.
    pub fn unknown(name: &str) -> Self {
        Self(format!("?{name}"))
    }
    pub fn is_unknown(&self) -> bool {
        self.unregistered_name().is_some()
    }
    /// Returns the user name in a temporary id. Returns `None` for the id of a registered person.
    pub fn unregistered_name(&self) -> Option<&str> {
        self.0.strip_prefix('?')
    }
    pub fn is_system(&self) -> bool {
        self.0 == "system"
    }
    /// Returns true if the text has the form of a person id. A person id is the letter `p` with 24
    /// hexadecimal digits.
    pub fn is_id(text: &str) -> bool {
        text.strip_prefix('p').is_some_and(|digits| {
            digits.len() == 24
                && digits
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    }
}

impl AttachmentId {
    /// Parses an attachment id. Returns `None` if the text is not a valid attachment id.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("att-")?;
        let is_hex = digits.len() == 32
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| Self(text.to_owned()))
    }
    /// Returns the name of the stream of this attachment.
    pub fn stream(&self) -> String {
        format!("attachment-{}", self.0)
    }
}

impl DraftId {
    /// Returns the name of the stream of this draft.
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
    /// Returns the name of the stream of this ticket.
    pub fn stream(&self) -> String {
        format!("ticket-{}", self.0)
    }
}
