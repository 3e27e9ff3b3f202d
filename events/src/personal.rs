//! Personal values. A personal value is readable in memory, sealed in the ledger, and unreadable
//! after the person is erased.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AttachmentId, PersonId};

/// A value that is sealed under the key of one person. In the ledger only `sealed` is set; in
/// memory only `value` is set. After the person is erased, both are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// The person whose key seals the value.
    pub subject: PersonId,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The sealed value: nonce and ciphertext in Base64 (XChaCha20-Poly1305, `subject` as
    /// associated data).
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
    /// Returns true if the value was erased together with the key of its subject.
    pub fn is_erased(&self) -> bool {
        self.value.is_null() && self.sealed.is_none()
    }
}

/// One form field with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    /// The stored value: text for most field types, JSON for tables and forms. Null if the field is
    /// empty, or if `personal` contains the value.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The value of a personal field; `value` is then null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// The text to display instead of the value: the names of the chosen options at the time of the
    /// choice. Empty if the workflow itself defines the options.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The uploaded files to which the value refers. The list is readable even if the value is
    /// sealed.
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
    /// Returns the entry with its value moved under the key of a person.
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
    /// Returns the readable value. Returns null if the value is empty or erased.
    pub fn read(&self) -> &Value {
        self.personal
            .as_ref()
            .map_or(&self.value, |personal| &personal.value)
    }
    /// Returns true if the value was erased together with the key of its owner.
    pub fn is_erased(&self) -> bool {
        self.personal.as_ref().is_some_and(Personal::is_erased)
    }
}

/// Free text that a person enters for an operation, such as a reason, a transfer message, or the
/// name of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The personal form of the text, present if the service seals all free text under the
    /// requester's key. `text` is then empty.
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
    /// Returns the remark with its text moved under the key of a person.
    #[must_use]
    pub fn owned_by(self, subject: PersonId) -> Self {
        Self {
            text: String::new(),
            personal: Some(Personal::new(subject, self.text.into())),
        }
    }
    /// Returns the readable text. Returns an empty text if the text was erased.
    pub fn read(&self) -> &str {
        self.personal.as_ref().map_or(&self.text, |personal| {
            personal.value.as_str().unwrap_or_default()
        })
    }
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.personal.is_none()
    }
}

/// Returns the personal values in all entries of a form.
pub(crate) fn of_entries(entries: &mut [Entry]) -> Vec<&mut Personal> {
    entries
        .iter_mut()
        .filter_map(|entry| entry.personal.as_mut())
        .collect()
}
