//! Defines the error type of all adapters. An error contains a kind, a message that identifies the
//! input, and the error that caused it.

/// The kind of an error. From the kind, the caller decides how to continue, for example with a
/// retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Other writers changed the event stream during each of the five attempts to execute a
    /// command.
    Conflict,
    /// The event stream does not have the version (last sequence number) that the caller expects.
    Stale,
    /// A service rejected the request because of its rate limit. A later retry can succeed.
    Throttled,
    /// No response arrived in time. It is possible that the request was executed.
    Timeout,
    /// A resource cannot be used at present, for example because of a full disk, a full queue or no
    /// network. A later retry can succeed.
    Unavailable,
    /// The credentials or the file permissions do not allow the operation.
    Denied,
    /// Stored data is damaged or was changed. The message identifies the data.
    Corrupt,
    /// The configuration or the deployment contains an error that the operator must correct.
    Misconfigured,
    /// The commit is larger than the limit. The message contains the name of the longest field in
    /// the commit.
    TooLarge,
    /// The caller sent too many requests. The same request can be repeated after `retry_after_s`
    /// seconds.
    Limited { retry_after_s: u32 },
}

/// A failed operation of an adapter.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    pub kind: Kind,
    pub what: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error that has no other error as its cause.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }
    /// Creates an error that another error caused. The message also contains the text of the cause.
    pub fn because(
        kind: Kind,
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let what = format!("{}: {source}", what.into());
        Self {
            kind,
            what,
            source: Some(Box::new(source)),
        }
    }
    /// Creates an error of the kind [`Kind::Corrupt`] that has no other error as its cause.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, what)
    }
    /// Returns whether the input itself causes the error. Such an error occurs again with the same
    /// input, but other input can succeed.
    pub fn is_poison(&self) -> bool {
        matches!(self.kind, Kind::Corrupt | Kind::TooLarge)
    }
    /// Returns whether the same operation can succeed if the caller repeats it.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            Kind::Conflict | Kind::Throttled | Kind::Timeout | Kind::Unavailable
        )
    }
}
