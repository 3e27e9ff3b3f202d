//! Defines the findings of executions. A finding states what the desk observed in one step of an execution, or why the
//! step failed. The ledger stores a finding as a word and its values, so that each reader can see it in their language.

use serde::{Deserialize, Serialize};

use crate::script::Level;

/// What the desk observed in one step of an execution, or why the step failed. The `Display` text is English.
///
/// The members `problem` contain the message of another program, such as a directory. Such messages are not translated.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    thiserror::Error,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(tag = "is", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Finding {
    #[error("the account is not locked")]
    AccountNotLocked,
    /// The directory locked the account at the time `since`, which is in the time format of the directory.
    #[error("the account is locked since {since}")]
    AccountLocked { since: String },
    /// The desk removed the lock, but the directory still shows it. Some servers of a directory learn of a change later
    /// than others.
    #[error("the account is still locked since {since}")]
    AccountStillLocked { since: String },
    #[error("an administrator locked the account; a person must decide whether it is unlocked")]
    AccountLockedByAdministrator,
    #[error("the directory has no such account")]
    AccountMissing,
    #[error("the directory has several entries for the name of the account")]
    AccountAmbiguous,
    #[error("the directory removed the lock")]
    LockRemoved,
    #[error("the directory cannot be used now: {problem}")]
    DirectoryUnavailable { problem: String },
    #[error("the directory rejected the request: {problem}")]
    DirectoryRefused { problem: String },
    #[error("the platform {platform} is not defined")]
    PlatformNotDefined { platform: String },
    #[error("the platform {platform} was changed after the request")]
    PlatformChanged { platform: String },
    #[error("the platform {platform} cannot be used: {problem}")]
    PlatformUnusable { platform: String, problem: String },
    #[error("the secret {secret} is not in the key store")]
    SecretMissing { secret: String },
    #[error("the execution is not requested")]
    NotRequested,
    #[error("the script {script} is not defined")]
    ScriptNotDefined { script: String },
    #[error("no person except the requester may approve the script")]
    NoApprover,
    #[error("the script has no parameter `{parameter}`")]
    ParameterUnknown { parameter: String },
    #[error("the parameter `{parameter}` is missing")]
    ParameterMissing { parameter: String },
    #[error("the parameter `{parameter}` is longer than {characters} characters")]
    ParameterTooLong {
        parameter: String,
        characters: usize,
    },
    /// The value `key` of the rule contains a placeholder that has no value.
    #[error("`{key}`: {problem}")]
    ValueNotFilled { key: String, problem: String },
    #[error("the parameters were erased")]
    ParametersErased,
    #[error("the ticket is suspended")]
    TicketSuspended,
    #[error("the ticket no longer waits for the execution")]
    NotAwaited,
    #[error("the maximum duration of the script is over")]
    DurationOver,
    #[error("the process paused before the request")]
    ProcessPaused,
    #[error("the script was started")]
    ScriptStarted,
    #[error("the script is running")]
    ScriptRunning,
    #[error("the script was not started: {problem}")]
    ScriptNotStarted { problem: String },
    #[error("the desk stopped while it started the script")]
    StartInterrupted,
    #[error(
        "the script needs the sandbox level {}, but this machine reaches only {}",
        needed.name(),
        reached.name()
    )]
    SandboxTooWeak { needed: Level, reached: Level },
    #[error("the sandbox failed: {problem}")]
    SandboxFailed { problem: String },
    #[error("the sandbox was killed before the script reported its end")]
    SandboxKilled,
    #[error("the run of the script cannot be read: {problem}")]
    RunUnreadable { problem: String },
    #[error(
        "this machine has no run of the script; the desk stopped at its start, or was restored from a backup"
    )]
    RunMissing,
    #[error("the process that watched the script was killed")]
    WatcherKilled,
    #[error("the script did not end at its maximum duration")]
    ScriptNotEnded,
    #[error("the script exceeded a limit")]
    LimitExceeded,
    #[error("the script ended with exit code {code}")]
    ExitCode { code: i32 },
    #[error("a signal ended the script")]
    EndedBySignal,
}

impl Finding {
    /// The words of all findings, as the ledger and the API contain them.
    pub const WORDS: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// Returns the word of the finding, such as `account_locked`.
    pub fn word(&self) -> &'static str {
        self.into()
    }
}

/// The reason for the result of an attempt. The text is English. The finding is present if the reason also has a text in
/// Chinese.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    pub text: String,
    pub finding: Option<Box<Finding>>,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self {
            text,
            finding: None,
        }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Reason {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<Finding> for Reason {
    fn from(finding: Finding) -> Self {
        Self {
            text: finding.to_string(),
            finding: Some(Box::new(finding)),
        }
    }
}

impl std::ops::Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}
