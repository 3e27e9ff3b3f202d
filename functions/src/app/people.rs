//! Converts user names in API requests to person ids, and converts person ids to user names in API
//! responses. The ledger contains only person ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::user_name::split;
use domain::value::plain;
use events::workflow::{Definition, Field};
use events::{Entry, PersonId};
use infra::Error;
use infra::directory::Directory;
use infra::keys::Keys;
use serde_json::Value;

pub use domain::user_name::{NAME_MAX, is_name, trimmed};

/// Maximum number of user names in one request. The limit applies to all fields of the request
/// together.
pub const NAMED_MAX: usize = 1000;

/// Number of user names that a task reads from the key store before the task yields to other tasks.
const NAMES_AT_ONCE: usize = 128;

/// The reason why the user names in a request cannot be converted to person ids.
#[derive(Debug, thiserror::Error)]
pub enum Unnamed {
    #[error("{0:?} is not a user name")]
    NotAName(String),
    #[error("more than {0} people are named")]
    TooMany(usize),
    /// The form field with the key `key` contains a value that is not a valid list of user names.
    /// The field `why` contains the reason.
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

/// Removes whitespace at the start and the end of a user name. Returns `None` if the remaining text
/// is not a valid user name.
pub fn one_name(text: &str) -> Option<&str> {
    Some(trimmed(text)).filter(|name| is_name(name))
}

/// Returns the user names in a value of a request. The value is an array of user names, or a text
/// with separators between the names. Returns an error if the value contains more than `most`
/// names.
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

/// The person ids of people who were registered for a request. Before the registration,
/// [`People::find`] returned a temporary id for each of these people. The map contains the new
/// person id for each temporary id.
#[derive(Clone, Debug, Default)]
pub struct Registered(BTreeMap<PersonId, PersonId>);

impl Registered {
    /// If `pid` is a temporary id, replaces `pid` with the new person id. Any other id remains
    /// unchanged.
    pub fn put(&self, pid: &mut PersonId) {
        if let Some(registered) = self.0.get(pid) {
            pid.clone_from(registered);
        }
    }

    /// Replaces the temporary ids in a ticket form with the new person ids. `definition` shows
    /// which form fields contain people. All other fields remain unchanged.
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

/// Returns the person ids in a ticket form. `definition` shows which form fields contain people.
/// The caller first converts the user names in the form to person ids with [`People::form_in`].
pub fn people_in(definition: &Definition, form: &[Entry]) -> Vec<PersonId> {
    let fields = form
        .iter()
        .filter(|entry| is_people(definition.field(&entry.key)));
    fields
        .filter_map(|entry| entry.value.as_str())
        .flat_map(pids_in)
        .collect()
}

/// Finds person ids by user name, and user names by person id. The key store contains the user name
/// and the person id of each person. The directory knows the people of the organization.
#[derive(Clone)]
pub struct People {
    keys: Arc<dyn Keys>,
    directory: Arc<dyn Directory>,
}

impl People {
    pub fn new(keys: Arc<dyn Keys>, directory: Arc<dyn Directory>) -> Self {
        Self { keys, directory }
    }

    /// Returns the first person in `people` who is not registered and whom the directory does not
    /// list. Such a name is most likely misspelled. A directory that lists no people cannot know,
    /// so the result is then `None`.
    pub async fn first_absent(&self, people: &[PersonId]) -> Result<Option<PersonId>, Error> {
        for person in people {
            let Some(name) = person.unregistered_name() else {
                continue;
            };
            if self.directory.has_person(name).await? == Some(false) {
                return Ok(Some(person.clone()));
            }
        }
        Ok(None)
    }

    /// Returns the person id for a user name. If the user name is unknown, registers a new person.
    pub async fn pid(&self, name: &str) -> Result<PersonId, Error> {
        if name == "system" {
            Ok(PersonId::system())
        } else {
            self.keys.person(name).await
        }
    }

    /// Returns the person id for a user name. For an unknown user name, returns a temporary id.
    /// This function does not register a person.
    pub async fn find(&self, name: &str) -> Result<PersonId, Error> {
        Ok(self
            .keys
            .find(name)
            .await?
            .unwrap_or_else(|| PersonId::unknown(name)))
    }

    /// Returns the person ids for several user names, in the same order. An unknown user name gets
    /// a temporary id.
    pub async fn find_all(&self, names: &[String]) -> Result<Vec<PersonId>, Error> {
        let found = self.keys.find_all(names).await?;
        Ok(names
            .iter()
            .zip(found)
            .map(|(name, pid)| pid.unwrap_or_else(|| PersonId::unknown(name)))
            .collect())
    }

    /// Returns the person ids for several user names, in the same order. All unknown user names are
    /// registered with one call of the key store.
    pub async fn pids(&self, names: &[String]) -> Result<Vec<PersonId>, Error> {
        let mut pids = self.find_all(names).await?;
        let registered = self.register(pids.clone()).await?;
        pids.iter_mut().for_each(|pid| registered.put(pid));
        Ok(pids)
    }

    /// Registers the people in `people` who have only a temporary id from [`People::find`]. All
    /// these people are registered with one call of the key store. Returns the new person ids.
    pub async fn register(&self, people: Vec<PersonId>) -> Result<Registered, Error> {
        let unknown: BTreeSet<PersonId> = people.into_iter().filter(PersonId::is_unknown).collect();
        if unknown.is_empty() {
            return Ok(Registered::default());
        }
        let names: Vec<String> = unknown
            .iter()
            .map(|pid| pid.unregistered_name().unwrap_or_default().to_owned())
            .collect();
        let pids = self.keys.register_all(&names).await?;
        Ok(Registered(unknown.into_iter().zip(pids).collect()))
    }

    /// Returns the user name of a person. If the person was erased, returns the person id instead.
    pub async fn name(&self, pid: &PersonId) -> Result<String, Error> {
        if let Some(unknown) = pid.unregistered_name() {
            return Ok(unknown.to_owned());
        }
        Ok(self.keys.name(pid).await?.unwrap_or_else(|| pid.0.clone()))
    }

    /// Returns whether a registered person can get work. An erased person cannot, and neither can a person whom the directory
    /// does not list any more.
    pub async fn is_active(&self, pid: &PersonId) -> Result<bool, Error> {
        match self.keys.name(pid).await? {
            Some(name) => Ok(self.directory.has_person(&name).await? != Some(false)),
            None => Ok(false),
        }
    }

    /// Returns the user names of several people, separated by commas.
    pub async fn names(&self, pids: impl IntoIterator<Item = &PersonId>) -> Result<String, Error> {
        Ok(self.all_names(pids).await?.join(","))
    }

    /// Returns the user names of several people, in the same order.
    pub async fn all_names(
        &self,
        pids: impl IntoIterator<Item = &PersonId>,
    ) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for (at, pid) in pids.into_iter().enumerate() {
            // A read of the key store may complete without waiting. A long list of people would
            // then block other tasks, so this task yields from time to time.
            if at % NAMES_AT_ONCE == NAMES_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            names.push(self.name(pid).await?);
        }
        Ok(names)
    }

    /// Replaces user names with person ids in those fields of a ticket form that contain people.
    ///
    /// The parameter `besides` is the count of user names in the request outside of the form. The
    /// whole request may contain at most [`NAMED_MAX`] user names. This limit is checked before the
    /// key store is read.
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

    /// Converts the stored value of a form field to the value in an API response. If the field
    /// contains people, the person ids are replaced with user names.
    pub async fn value_out(&self, field: Option<&Field>, value: &Value) -> Result<Value, Error> {
        match value {
            Value::String(text) if is_people(field) => Ok(self.names_in(text).await?.into()),
            other => Ok(other.clone()),
        }
    }

    /// Converts a list of person ids to a list of user names. The argument and the result are texts
    /// with commas between the entries.
    pub async fn names_in(&self, pids: &str) -> Result<String, Error> {
        self.names(&pids_in(pids)).await
    }
}

fn is_people(field: Option<&Field>) -> bool {
    field.is_some_and(|field| field.kind.names_people())
}

/// Splits a stored text at its commas, and returns the parts as person ids.
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
