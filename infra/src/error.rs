//! The error type of all adapters. An error contains a kind, a message that names the input, and
//! the source error.

/// The kind of an error, which selects the reaction of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Other writers changed the stream during each of the five attempts.
    Conflict,
    /// The stream is not at the version that the caller expects.
    Stale,
    /// A service limits the request rate; a later retry can succeed.
    Throttled,
    /// No response arrived in time; the request may have been executed.
    Timeout,
    /// A resource is temporarily unusable: full disk, full queue, no network. A retry may succeed.
    Unavailable,
    /// The credentials or file permissions do not allow the operation.
    Denied,
    /// Stored data differs from the data that was written; the message names the row.
    Corrupt,
    /// The configuration or the deployment is wrong; the operator must correct the configuration.
    Misconfigured,
    /// The commit exceeds the size limit; the message names the longest field.
    TooLarge,
    /// The caller exceeds its rate limit; the same request may be repeated after `retry_after_s`
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
    /// Creates an error without a source.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }
    /// Creates an error with a source, whose text is appended to the message.
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
    /// Creates an error of the kind [`Kind::Corrupt`] without a source.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, what)
    }
    /// Returns whether the input itself causes the error. A retry with the same input fails again;
    /// other inputs can succeed.
    pub fn is_poison(&self) -> bool {
        matches!(self.kind, Kind::Corrupt | Kind::TooLarge)
    }
    /// Returns whether a retry can succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            Kind::Conflict | Kind::Throttled | Kind::Timeout | Kind::Unavailable
        )
    }
}
