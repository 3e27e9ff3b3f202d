//! Translates between the user names of the wire and the person ids of the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::user_name::split;
use domain::value::plain;
use events::workflow::{Definition, Field};
use events::{Entry, PersonId};
use infra::Error;
use infra::keys::Keys;
use serde_json::Value;

pub use domain::user_name::{NAME_MAX, is_name, trimmed};

/// Maximum number of people that one request names, in all its fields and lists together.
pub const NAMED_MAX: usize = 1000;

/// Names that are read between two yields to other requests.
const NAMES_AT_ONCE: usize = 128;

/// The reason why names cannot be resolved to people.
#[derive(Debug, thiserror::Error)]
pub enum Unnamed {
    #[error("{0:?} is not a user name")]
    NotAName(String),
    #[error("more than {0} people are named")]
    TooMany(usize),
    /// The reason for one field of a form.
    #[error("{why}")]
    InField { key: String, why: Box<Unnamed> },
    #[error(transparent)]
    Technical(#[from] Error),
}

impl Unnamed {
    fn of(name: &str) -> Self {
        Self::NotAName(name.chars().take(NAME_MAX).collect())
    }
}

/// Returns a user name without surrounding blanks, or `None` if the text is not a user name.
pub fn one_name(text: &str) -> Option<&str> {
    Some(trimmed(text)).filter(|name| is_name(name))
}

/// Returns the user names in a value, at most `most`: a text of names between separators, or an
/// array with one name per element.
pub fn names_of(value: &Value, most: usize) -> Result<Vec<String>, Unnamed> {
    let one = |text: &str| {
        one_name(text)
            .map(str::to_owned)
            .ok_or_else(|| Unnamed::of(text))
    };
    match value {
        Value::Array(items) if items.len() > most => Err(Unnamed::TooMany(most)),
        Value::Array(items) => {
            let one = |item: &Value| match item {
                Value::String(text) => one(text),
                Value::Number(number) => one(&number.to_string()),
                other => Err(Unnamed::of(&other.to_string())),
            };
            items
                .iter()
                .filter(|item| item.as_str() != Some(""))
                .map(one)
                .collect()
        }
        other @ (Value::Object(_) | Value::Bool(_)) => Err(Unnamed::of(&other.to_string())),
        other => {
            let text = plain(other);
            if split(&text).take(most + 1).count() > most {
                return Err(Unnamed::TooMany(most));
            }
            split(&text).map(one).collect()
        }
    }
}

/// The new ids of people whom a request registered, by the unknown ids that [`People::find`]
/// returned.
#[derive(Clone, Debug, Default)]
pub struct Registered(BTreeMap<PersonId, PersonId>);

impl Registered {
    /// Replaces an unknown id by the id of the registered person.
    pub fn put(&self, pid: &mut PersonId) {
        if let Some(registered) = self.0.get(pid) {
            pid.clone_from(registered);
        }
    }

    /// Replaces unknown ids in the people fields of a form.
    pub fn put_in(&self, definition: &Definition, form: &mut [Entry]) {
        for entry in form
            .iter_mut()
            .filter(|entry| is_people(definition.field(&entry.key)))
        {
            let Value::String(text) = &entry.value else {
                continue;
            };
            let mut people = pids_in(text);
            people.iter_mut().for_each(|pid| self.put(pid));
            entry.value = join(&people).into();
        }
    }
}

/// Returns the people in the people fields of a form that [`People::form_in`] has converted.
pub fn people_in(definition: &Definition, form: &[Entry]) -> Vec<PersonId> {
    let fields = form
        .iter()
        .filter(|entry| is_people(definition.field(&entry.key)));
    fields
        .filter_map(|entry| entry.value.as_str())
        .flat_map(pids_in)
        .collect()
}

/// Finds people by user name and by id in the key store.
#[derive(Clone)]
pub struct People(Arc<dyn Keys>);

impl People {
    pub fn new(keys: Arc<dyn Keys>) -> Self {
        Self(keys)
    }

    /// Returns the person of a user name and registers a new one.
    pub async fn pid(&self, name: &str) -> Result<PersonId, Error> {
        if name == "system" {
            Ok(PersonId::system())
        } else {
            self.0.person(name).await
        }
    }

    /// Returns the person of a user name, or an unknown id for an unknown name.
    pub async fn find(&self, name: &str) -> Result<PersonId, Error> {
        Ok(self
            .0
            .find(name)
            .await?
            .unwrap_or_else(|| PersonId::unknown(name)))
    }

    /// Returns the people of several user names in their order, with unknown ids for unknown names.
    pub async fn find_all(&self, names: &[String]) -> Result<Vec<PersonId>, Error> {
        let found = self.0.find_all(names).await?;
        Ok(names
            .iter()
            .zip(found)
            .map(|(name, pid)| pid.unwrap_or_else(|| PersonId::unknown(name)))
            .collect())
    }

    /// Returns the people of several user names in their order and registers the new ones in one
    /// call.
    pub async fn pids(&self, names: &[String]) -> Result<Vec<PersonId>, Error> {
        let mut pids = self.find_all(names).await?;
        let registered = self.register(pids.clone()).await?;
        pids.iter_mut().for_each(|pid| registered.put(pid));
        Ok(pids)
    }

    /// Registers, in one call, the people for whom [`People::find`] returned unknown ids.
    pub async fn register(&self, people: Vec<PersonId>) -> Result<Registered, Error> {
        let unknown: BTreeSet<PersonId> = people.into_iter().filter(PersonId::is_unknown).collect();
        if unknown.is_empty() {
            return Ok(Registered::default());
        }
        let names: Vec<String> = unknown
            .iter()
            .map(|pid| pid.as_str()[1..].to_owned())
            .collect();
        let pids = self.0.register_all(&names).await?;
        Ok(Registered(unknown.into_iter().zip(pids).collect()))
    }

    /// Returns the user name of a person, or the bare id after erasure.
    pub async fn name(&self, pid: &PersonId) -> Result<String, Error> {
        if let Some(unknown) = pid.as_str().strip_prefix('?') {
            return Ok(unknown.to_owned());
        }
        Ok(self.0.name(pid).await?.unwrap_or_else(|| pid.0.clone()))
    }

    /// Returns the user names of people, separated by commas.
    pub async fn names(&self, pids: impl IntoIterator<Item = &PersonId>) -> Result<String, Error> {
        let mut names = Vec::new();
        for (at, pid) in pids.into_iter().enumerate() {
            // Names are read from memory or one file without waiting, so a long list yields to
            // other requests.
            if at % NAMES_AT_ONCE == NAMES_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            names.push(self.name(pid).await?);
        }
        Ok(names.join(","))
    }

    /// Replaces the user names in the people fields of a form by person ids. Together with the
    /// other people of the request (`besides`), at most [`NAMED_MAX`] names are allowed; the count
    /// is checked before the first lookup.
    pub async fn form_in(
        &self,
        definition: &Definition,
        form: &mut [Entry],
        besides: usize,
    ) -> Result<(), Unnamed> {
        let (mut named, mut all) = (Vec::new(), Vec::new());
        for (at, entry) in form
            .iter()
            .enumerate()
            .filter(|(_, entry)| is_people(definition.field(&entry.key)) && !entry.value.is_null())
        {
            let in_field = |why| Unnamed::InField {
                key: entry.key.clone(),
                why: Box::new(why),
            };
            let names = names_of(&entry.value, NAMED_MAX).map_err(in_field)?;
            if besides + all.len() + names.len() > NAMED_MAX {
                return Err(in_field(Unnamed::TooMany(NAMED_MAX)));
            }
            named.push((at, names.len()));
            all.extend(names);
        }
        let mut pids = self.find_all(&all).await?.into_iter();
        for (at, count) in named {
            form[at].value = join(&pids.by_ref().take(count).collect::<Vec<_>>()).into();
        }
        Ok(())
    }

    /// Returns the value of a field for a response: a people field contains user names instead of
    /// ids.
    pub async fn value_out(&self, field: Option<&Field>, value: &Value) -> Result<Value, Error> {
        match value {
            Value::String(text) if is_people(field) => Ok(self.names_in(text).await?.into()),
            other => Ok(other.clone()),
        }
    }

    /// Returns the user names of the person ids in a comma-separated text.
    pub async fn names_in(&self, pids: &str) -> Result<String, Error> {
        self.names(&pids_in(pids)).await
    }
}

fn is_people(field: Option<&Field>) -> bool {
    field.is_some_and(|field| field.kind.names_people())
}

/// Returns the person ids in a stored text.
fn pids_in(text: &str) -> Vec<PersonId> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(PersonId::from)
        .collect()
}

fn join(pids: &[PersonId]) -> String {
    pids.iter()
        .map(PersonId::as_str)
        .collect::<Vec<_>>()
        .join(",")
}
