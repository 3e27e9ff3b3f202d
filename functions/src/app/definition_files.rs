//! Checks and stores the named definitions from a TOML file of an operator. These definitions are
//! integrations, application kinds, sites, task types and robots.

use std::collections::BTreeSet;

use events::{Event, Meta};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;

/// Maximum length of the name of an integration or an application kind, in characters.
const NAME_MAX: usize = 64;

/// Stores one definition in the event stream for its name. If the same definition is already
/// stored, no event is added.
pub(crate) async fn define<D>(app: &App, name: &str, defined: &D::Command) -> Result<(), Error>
where
    D: domain::Decider<Context = (), Lookup = domain::decider::Nothing>,
{
    let by = Meta::system("setup", "setup");
    define_by::<D>(app, &by, name, defined).await.map(drop)
}

/// Stores one definition as [`define`]. `by` is the metadata of the commit, with the person who changed the definition.
/// Returns the position of the commit in the feed. Returns `None` if no event was added.
pub(crate) async fn define_by<D>(
    app: &App,
    by: &Meta,
    name: &str,
    defined: &D::Command,
) -> Result<Option<i64>, Error>
where
    D: domain::Decider<Context = (), Lookup = domain::decider::Nothing>,
{
    let command_envelope = CommandEnvelope {
        stream: format!("{}-{name}", D::Event::AGGREGATE),
        command_id: app.ledger.fresh_id(),
        meta: by.clone(),
    };
    app.ledger
        .execute::<D>(&command_envelope, defined, &NoContext)
        .await
        .map(|outcome| outcome.position)
        .map_err(ExecuteError::unexpected)
}

/// Checks that a name can be part of a stream name. For an invalid name, the error is the reason as
/// a text. The error text contains `kind` (the kind of the named object).
pub(crate) fn check_name(kind: &str, name: &str) -> Result<(), String> {
    let is_valid = !name.is_empty()
        && name.len() <= NAME_MAX
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_valid {
        Ok(())
    } else {
        Err(format!(
            "{kind} {name:?}: `name` must have 1 to {NAME_MAX} lower-case letters, digits and underscores"
        ))
    }
}

/// Checks that each name is used only once. If a name is repeated, the error is a text with this
/// name. The error text contains `kind` (the kind of the named objects).
pub(crate) fn unique<'a>(
    kind: &str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{kind} {name} is defined twice"));
        }
    }
    Ok(())
}
