//! JSON values of forms as text and as people.

use events::PersonId;
use serde_json::Value;

/// Returns a value as text; null is empty.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the people of a MEMBER or MEMBERS value.
pub fn people(value: &Value) -> Vec<PersonId> {
    plain(value)
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(PersonId::from)
        .collect()
}
