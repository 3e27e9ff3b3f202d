//! Defines personal values. A personal value is encrypted in the ledger and readable in memory. After the
//! person's key is deleted, the value cannot be read again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AttachmentId, PersonId};

/// A value that is encrypted with the key of one person. The ledger contains only the encrypted text in the
/// member `sealed`. In memory, the program uses only the readable value in the member `value`. After the key
/// of the person is deleted, the value cannot be read, and the members `sealed` and `value` are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personal {
    /// The person with whose key the value is encrypted.
    pub subject: PersonId,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The encrypted value. The text of this member contains the nonce and the ciphertext in Base64. The
    /// algorithm is XChaCha20-Poly1305 with `subject` as associated data.
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
    /// Returns true if the value was erased. A value is erased when the key that encrypts this value is
    /// deleted.
    pub fn is_erased(&self) -> bool {
        self.value.is_null() && self.sealed.is_none()
    }
}

/// One form field with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: String,
    /// The value in its stored form. The value of a table or of a custom form is JSON, and most other values
    /// are texts. This member is null if the field is empty, or if the member `personal` contains the value.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The encrypted value of the field. This member is absent if the field is not encrypted. If this member
    /// is present, the member `value` is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// The text that people see instead of the value. The text contains the names of the selected options at
    /// the time at which a person selected the options. The text is empty if the workflow itself defines the
    /// options.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The ids of the uploaded files in the value. This list is readable even if the value is encrypted.
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
    /// Converts the value of the form entry to a personal value. In the ledger, the value is encrypted with the
    /// key of the person `subject`.
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
    /// Returns the value in readable form. Returns null if the field is empty or the value was erased.
    pub fn read(&self) -> &Value {
        self.personal
            .as_ref()
            .map_or(&self.value, |personal| &personal.value)
    }
    /// Returns true if the value was erased. A value is erased when the key that encrypts this value is
    /// deleted.
    pub fn is_erased(&self) -> bool {
        self.personal.as_ref().is_some_and(Personal::is_erased)
    }
}

/// Free text that a person entered, such as a reason, a message or the name of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remark {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The encrypted form of the text. This member is present only if the service encrypts free text with the
    /// creator's key. The member `text` is then empty.
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
    /// Converts the text of the remark to a personal value. In the ledger, the text is encrypted with the key
    /// of the person `subject`.
    #[must_use]
    pub fn owned_by(self, subject: PersonId) -> Self {
        Self {
            text: String::new(),
            personal: Some(Personal::new(subject, self.text.into())),
        }
    }
    /// Returns the text in readable form. Returns an empty text if the text was erased.
    pub fn read(&self) -> &str {
        self.personal.as_ref().map_or(&self.text, |personal| {
            personal.value.as_str().unwrap_or_default()
        })
    }
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.personal.is_none()
    }
}

/// Returns all personal (encrypted) values in the entries of a form.
pub(crate) fn of_entries(entries: &mut [Entry]) -> Vec<&mut Personal> {
    entries
        .iter_mut()
        .filter_map(|entry| entry.personal.as_mut())
        .collect()
}
