//! One error for all adapters: a kind to act on, what failed and for which input, and the source to read.

/// Who acts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody else wrote first, five times over.
    Conflict,
    /// The stream is not at the version that the caller has seen.
    Stale,
    Throttled,
    Timeout,
    /// The disk is full, the network is away, the queue is full: try again.
    Unavailable,
    Denied,
    /// A row is not what was written; the message names it.
    Corrupt,
    Misconfigured,
    /// A commit over the size limit; the message names the command.
    TooLarge,
    /// The caller asks for more than its share; the same may be repeated after so many seconds.
    Limited {
        retry_after_s: u32,
    },
}

/// Something an adapter could not do.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    pub kind: Kind,
    pub what: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }
    pub fn because(kind: Kind, what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let what = format!("{}: {source}", what.into());
        Self { kind, what, source: Some(Box::new(source)) }
    }
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, what)
    }
    /// Says whether it lies in what was read or written rather than in the world around: the same input will fail again, others will not.
    pub fn is_of_content(&self) -> bool {
        matches!(self.kind, Kind::Corrupt | Kind::TooLarge)
    }
    /// Says whether trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, Kind::Conflict | Kind::Throttled | Kind::Timeout | Kind::Unavailable)
    }
}
