//! Replaces person ids in JSON values with user names, so that people can read the output.

use std::collections::{BTreeSet, HashMap};

use events::PersonId;
use infra::{Error, Ledger};
use serde_json::Value;

/// Finds user names by person id. The user names come from the key store and are cached.
pub struct Names<'a> {
    ledger: &'a Ledger,
    known: HashMap<String, Option<String>>,
}

impl<'a> Names<'a> {
    pub fn over(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            known: HashMap::new(),
        }
    }

    /// Returns the user name of a person. Returns `None` if the person was erased or the id is
    /// unknown.
    pub async fn of(&mut self, id: &str) -> Result<Option<String>, Error> {
        if let Some(name) = self.known.get(id) {
            return Ok(name.clone());
        }
        let name = self.ledger.keys.name(&PersonId::from(id)).await?;
        self.known.insert(id.to_owned(), name.clone());
        Ok(name)
    }

    /// Replaces every person id in a JSON value with a user name. A text may also contain several
    /// person ids, separated by commas. The ids of erased people do not change.
    pub async fn put_into(&mut self, value: &mut Value) -> Result<(), Error> {
        let mut ids = BTreeSet::new();
        collect(value, &mut ids);
        for id in &ids {
            self.of(id).await?;
        }
        replace(value, &self.known);
        Ok(())
    }
}

/// Returns true if a text has the format of a person id: the letter `p` followed by 24 hexadecimal
/// digits.
fn is_person_id(text: &str) -> bool {
    text.len() == 25
        && text.starts_with('p')
        && text[1..]
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn collect(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let found = text.split(',').filter(|part| is_person_id(part));
            ids.extend(found.map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        Value::Object(members) => {
            ids.extend(members.keys().filter(|key| is_person_id(key)).cloned());
            members.values().for_each(|member| collect(member, ids));
        }
        _ => {}
    }
}

fn replace(value: &mut Value, names: &HashMap<String, Option<String>>) {
    let name_of = |id: &str| names.get(id).cloned().flatten();
    match value {
        Value::String(text) if text.split(',').any(|part| names.contains_key(part)) => {
            let named = text
                .split(',')
                .map(|part| name_of(part).unwrap_or(part.to_owned()));
            *text = named.collect::<Vec<_>>().join(",");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, names)),
        Value::Object(members) => {
            let renamed = std::mem::take(members)
                .into_iter()
                .map(|(key, mut member)| {
                    replace(&mut member, names);
                    (name_of(&key).unwrap_or(key), member)
                });
            *members = renamed.collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_replaced_in_texts_lists_and_keys() {
        let (known, erased) = ("p0123456789abcdef01234567", "p00000000000000000000abcd");
        let names = HashMap::from([
            (known.to_owned(), Some("lisi".to_owned())),
            (erased.to_owned(), None),
        ]);
        let mut value = json!({ "by": known, "people": [erased, known], "value": format!("{known},{erased}"), known: 1, "text": "p1,p2" });
        let mut ids = BTreeSet::new();
        collect(&value, &mut ids);
        assert_eq!(ids.len(), 2);
        replace(&mut value, &names);
        assert_eq!(
            value,
            json!({ "by": "lisi", "people": [erased, "lisi"], "value": format!("lisi,{erased}"), "lisi": 1, "text": "p1,p2" })
        );
    }
}
