//! Personal values: plain in memory, sealed in the ledger, unreadable after erasure of the person.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AttachmentId, PersonId};

/// A value that is sealed under the key of one person. At rest only `sealed` is set, in memory only
/// `value`, and after erasure neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// The person whose key seals the value.
    pub subject: PersonId,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// Base64 of nonce and ciphertext (XChaCha20-Poly1305, subject as associated data).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl Personal {
    pub fn new(subject: PersonId, value: Value) -> Self {
        Self {
            subject,
            value,
            sealed: None,
        }
    }
    /// Returns whether the value was erased with the key of its subject.
    pub fn is_erased(&self) -> bool {
        self.value.is_null() && self.sealed.is_none()
    }
}

/// One form field with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    /// The stored value: text for most types, JSON for tables and forms. It is null if the field is
    /// empty or the value is in `personal`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The value of a field marked personal, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// The text to display instead of the value: the names of options from another source than the
    /// workflow, as of the time of the choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The uploaded files that the value references, also if the value itself is sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AttachmentId>,
}

impl Entry {
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            personal: None,
            shown: String::new(),
            files: Vec::new(),
        }
    }
    /// Moves the value under the key of a person.
    #[must_use]
    pub fn owned_by(self, subject: PersonId) -> Self {
        Self {
            key: self.key,
            value: Value::Null,
            personal: Some(Personal::new(subject, self.value)),
            shown: String::new(),
            files: self.files,
        }
    }
    /// Returns the readable value; null if it is empty or erased.
    pub fn read(&self) -> &Value {
        self.personal
            .as_ref()
            .map_or(&self.value, |personal| &personal.value)
    }
    /// Returns whether the value was erased with the key of its owner.
    pub fn is_erased(&self) -> bool {
        self.personal.as_ref().is_some_and(Personal::is_erased)
    }
}

/// Free text that a person adds to an operation: a reason, a transfer message, the name of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The text, instead of `text`, if the service seals all free text under its requester's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
}

impl Remark {
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            personal: None,
        }
    }
    /// Moves the text under the key of a person.
    #[must_use]
    pub fn owned_by(self, subject: PersonId) -> Self {
        Self {
            text: String::new(),
            personal: Some(Personal::new(subject, self.text.into())),
        }
    }
    /// Returns the readable text; empty if it was erased.
    pub fn read(&self) -> &str {
        self.personal.as_ref().map_or(&self.text, |personal| {
            personal.value.as_str().unwrap_or_default()
        })
    }
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.personal.is_none()
    }
}

/// Returns the personal values of a form.
pub(crate) fn of_entries(entries: &mut [Entry]) -> Vec<&mut Personal> {
    entries
        .iter_mut()
        .filter_map(|entry| entry.personal.as_mut())
        .collect()
}
