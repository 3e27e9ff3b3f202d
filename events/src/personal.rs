//! Personal values. Such a value is encrypted in the ledger and readable in memory. After the
//! person is erased, the value is not readable any more.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AttachmentId, PersonId};

/// A value that is encrypted under the key of one person. The ledger contains only `sealed`, and
/// the program in memory uses only `value`. After the person is erased, both members are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// The person under whose key the value is encrypted.
    pub subject: PersonId,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The encrypted value: nonce and ciphertext in Base64. The algorithm is XChaCha20-Poly1305
    /// with `subject` as associated data.
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
    /// Returns true if the value was erased. This happens when the key of the person is deleted.
    pub fn is_erased(&self) -> bool {
        self.value.is_null() && self.sealed.is_none()
    }
}

/// One form field and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    /// The value as it is stored. For most field types the value is a text, and for tables and
    /// forms it is JSON. Null if the field is empty, or if `personal` contains the value.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The value of a personal field. In this case, the member `value` is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// The text that is displayed instead of the value. The text contains the names of the selected
    /// options at the time of the selection. It is empty if the workflow itself defines the
    /// options.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The uploaded files that the value contains. This list is readable even if the value is
    /// encrypted.
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
    /// Returns the entry with its value as a personal value of the given person.
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
    /// Returns the readable value. Returns null if the value is empty or was erased.
    pub fn read(&self) -> &Value {
        self.personal
            .as_ref()
            .map_or(&self.value, |personal| &personal.value)
    }
    /// Returns true if the value was erased. This happens when the key of the person is deleted.
    pub fn is_erased(&self) -> bool {
        self.personal.as_ref().is_some_and(Personal::is_erased)
    }
}

/// Free text from a person, such as a reason, a message or the name of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The text as a personal value, if the service encrypts all free text under the creator's key.
    /// In this case, the member `text` is empty.
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
    /// Returns the remark with its text as a personal value of the given person.
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
