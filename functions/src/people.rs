//! Translates between the user names of the wire and the person ids of the ledger.

use std::sync::Arc;

use events::workflow::{Definition, Field};
use events::{Entry, Pid};
use infra::Error;
use infra::keys::Keys;
use serde_json::Value;

/// Longest user name.
pub const NAME_MAX: usize = 64;

/// People that one field, one node or one request names at most.
pub const NAMED_MAX: usize = 1000;

/// Why names do not become people.
#[derive(Debug, thiserror::Error)]
pub enum Unnamed {
    #[error("{0:?} is not a user name")]
    NotAName(String),
    #[error("more than {NAMED_MAX} people are named")]
    TooMany,
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Says whether a text may be the name of a user; the desk itself is none.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name != Pid::system().as_str()
        // An erased person is shown by id, and must not be addressed by it.
        && !Pid::is_id(name)
        && name.chars().count() <= NAME_MAX
        && !name.chars().any(|c| c.is_control() || matches!(c, ',' | '<' | '>' | '\'' | '"' | ';'))
}

/// Says of every part of a text between commas whether it may be the name of a user.
pub fn are_names(text: &str) -> Result<(), Unnamed> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    match names.iter().find(|name| !is_name(name)) {
        _ if names.len() > NAMED_MAX => Err(Unnamed::TooMany),
        Some(wrong) => Err(Unnamed::NotAName(wrong.chars().take(NAME_MAX).collect())),
        None => Ok(()),
    }
}

/// The doors' view of the key store.
#[derive(Clone)]
pub struct People(Arc<dyn Keys>);

impl People {
    pub fn new(keys: Arc<dyn Keys>) -> Self {
        Self(keys)
    }

    /// The person of a user name; registered when new.
    pub async fn pid(&self, name: &str) -> Result<Pid, Error> {
        if name == "system" { Ok(Pid::system()) } else { self.0.person(name).await }
    }

    /// The person of a user name, or an id that matches nobody.
    pub async fn find(&self, name: &str) -> Result<Pid, Error> {
        Ok(self.0.find(name).await?.unwrap_or_else(|| Pid::unknown(name)))
    }

    /// The person of a user name; registered when new and `register` says so.
    pub async fn known(&self, name: &str, register: bool) -> Result<Pid, Error> {
        if register { self.pid(name).await } else { self.find(name).await }
    }

    /// What to show for a person: the user name, or the id alone after erasure.
    pub async fn name(&self, pid: &Pid) -> Result<String, Error> {
        if let Some(unknown) = pid.as_str().strip_prefix('?') {
            return Ok(unknown.to_owned());
        }
        Ok(self.0.name(pid).await?.unwrap_or_else(|| pid.0.clone()))
    }

    /// Names joined by commas.
    pub async fn names(&self, pids: impl IntoIterator<Item = &Pid>) -> Result<String, Error> {
        let mut names = Vec::new();
        for pid in pids {
            names.push(self.name(pid).await?);
        }
        Ok(names.join(","))
    }

    /// Turns user names between commas into person ids. All of them are looked at before anybody is looked up.
    pub async fn pids_of(&self, names: &str, register: bool) -> Result<Vec<Pid>, Unnamed> {
        are_names(names)?;
        let mut pids = Vec::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            pids.push(self.known(name, register).await?);
        }
        Ok(pids)
    }

    /// Turns the user names in a form's people fields into person ids.
    pub async fn form_in(&self, definition: &Definition, form: &mut [Entry], register: bool) -> Result<(), Unnamed> {
        for entry in form.iter_mut().filter(|entry| is_people(definition.field(&entry.key))) {
            let names = match &entry.value {
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                Value::String(text) => text.clone(),
                _ => continue,
            };
            entry.value = join(&self.pids_of(&names, register).await?).into();
        }
        Ok(())
    }

    /// The person of an id that [`People::find`] gave, registered where nobody of that name was known.
    pub async fn registered(&self, pid: &Pid) -> Result<Pid, Error> {
        match pid.as_str().strip_prefix('?') {
            Some(name) => self.pid(name).await,
            None => Ok(pid.clone()),
        }
    }

    /// The same of everybody whom a form names.
    pub async fn form_registered(&self, definition: &Definition, form: &mut [Entry]) -> Result<(), Error> {
        for entry in form.iter_mut().filter(|entry| is_people(definition.field(&entry.key))) {
            let Value::String(text) = &entry.value else { continue };
            let mut people = Vec::new();
            for pid in text.split(',').filter(|part| !part.is_empty()) {
                people.push(self.registered(&Pid::from(pid)).await?);
            }
            entry.value = join(&people).into();
        }
        Ok(())
    }

    /// The value of a field as the wire shows it.
    pub async fn value_out(&self, field: Option<&Field>, value: &Value) -> Result<Value, Error> {
        match value {
            Value::String(text) if is_people(field) => Ok(self.names_in(text).await?.into()),
            other => Ok(other.clone()),
        }
    }

    /// The user names of the person ids in a text between commas.
    pub async fn names_in(&self, pids: &str) -> Result<String, Error> {
        let pids: Vec<Pid> = pids.split(',').filter(|part| !part.is_empty()).map(Pid::from).collect();
        self.names(&pids).await
    }
}

fn is_people(field: Option<&Field>) -> bool {
    field.is_some_and(|field| field.kind.names_people())
}

fn join(pids: &[Pid]) -> String {
    pids.iter().map(Pid::as_str).collect::<Vec<_>>().join(",")
}
