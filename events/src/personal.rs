//! Values that belong to somebody: in the clear in memory, sealed in the ledger, gone after erasure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AttachmentId, Pid};

/// A value under a person's key. At rest only `sealed` is there; in memory only `value`; after erasure neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// Whose key seals it.
    pub subject: Pid,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// Base64 of nonce and ciphertext (XChaCha20-Poly1305, subject as associated data).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl Personal {
    pub fn new(subject: Pid, value: Value) -> Self {
        Self { subject, value, sealed: None }
    }
    /// Says whether the value is gone for good.
    pub fn is_erased(&self) -> bool {
        self.value.is_null() && self.sealed.is_none()
    }
}

/// One filled form field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    /// The value as stored: text for most types, JSON for tables and forms, null when left empty or held in `personal`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The value of a field marked personal, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// What people read instead of the value: names of options that stand outside the workflow, as they were when they were chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The uploaded files it names, also where the value itself is sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AttachmentId>,
}

impl Entry {
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into(), personal: None, shown: String::new(), files: Vec::new() }
    }
    /// Puts the value under a person's key.
    #[must_use]
    pub fn owned_by(self, subject: Pid) -> Self {
        Self { key: self.key, value: Value::Null, personal: Some(Personal::new(subject, self.value)), shown: String::new(), files: self.files }
    }
    /// The readable value; null where it is empty or erased.
    pub fn read(&self) -> &Value {
        self.personal.as_ref().map_or(&self.value, |personal| &personal.value)
    }
    /// Says whether the value was erased with its owner's key.
    pub fn is_erased(&self) -> bool {
        self.personal.as_ref().is_some_and(Personal::is_erased)
    }
}

/// What somebody wrote beside an operation: a reason, a hand-over message, the name of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The text, instead of `text`, where the service seals all free text under its requester's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
}

impl Remark {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), personal: None }
    }
    /// Puts the text under a person's key.
    #[must_use]
    pub fn owned_by(self, subject: Pid) -> Self {
        Self { text: String::new(), personal: Some(Personal::new(subject, self.text.into())) }
    }
    /// The readable text; empty where it was erased.
    pub fn read(&self) -> &str {
        self.personal.as_ref().map_or(&self.text, |personal| personal.value.as_str().unwrap_or_default())
    }
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.personal.is_none()
    }
}

/// The personal values of a filled form.
pub(crate) fn of_entries(entries: &mut [Entry]) -> Vec<&mut Personal> {
    entries.iter_mut().filter_map(|entry| entry.personal.as_mut()).collect()
}
