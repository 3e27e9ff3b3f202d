//! Converts JSON values of forms to text and to people.

use events::PersonId;
use serde_json::Value;

/// Returns a value as text; null becomes an empty text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the people in a MEMBER or MEMBERS value.
pub fn people(value: &Value) -> Vec<PersonId> {
    plain(value)
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(PersonId::from)
        .collect()
}
