//! Converts JSON values of form fields to text and to ids of people.

use events::PersonId;
use serde_json::Value;

/// Returns a JSON value as text. Null becomes an empty text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the ids of the people in the value of a form field. The type of the field is MEMBER (one person) or
/// MEMBERS (several people).
pub fn people(value: &Value) -> Vec<PersonId> {
    plain(value)
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(PersonId::from)
        .collect()
}
