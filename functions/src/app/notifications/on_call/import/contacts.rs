//! Stores the addresses of an export in the preferences of the people. An address that a person already has stays.

use std::collections::BTreeMap;

use events::{Meta, PersonId};
use infra::Error;

use super::{Line, Outcome, line};
use crate::App;
use crate::app::notifications::preferences::{self, Preferences};

/// The addresses of one person of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The temporary id with the user name.
    pub person: PersonId,
    /// The valid addresses. The key is the kind of the address, such as `email`.
    pub addresses: BTreeMap<String, String>,
}

/// Adds the addresses of all kinds that a person has not set yet. Returns a line of the report for each person.
///
/// The stored addresses are not verified: a person can use them to receive messages, but not to act in a chat before
/// the person links the chat account.
pub(super) async fn store(app: &App, contacts: &[Contact]) -> Result<Vec<Line>, Error> {
    let names: Vec<String> = contacts
        .iter()
        .map(|contact| contact.person.unregistered_name().unwrap_or_default())
        .map(str::to_owned)
        .collect();
    let found = app.people.find_all(&names).await?;
    let mut lines = Vec::new();
    for ((name, known), contact) in names.iter().zip(found).zip(contacts) {
        let absent = app
            .people
            .first_absent(std::slice::from_ref(&known))
            .await?;
        let outcome = if absent.is_some() {
            Outcome::Skipped("the person is not in the directory of the organization".into())
        } else {
            let pid = app.people.pid(name).await?;
            add(app, &pid, &contact.addresses).await?
        };
        lines.push(line("addresses", name, outcome));
    }
    Ok(lines)
}

async fn add(
    app: &App,
    person: &PersonId,
    addresses: &BTreeMap<String, String>,
) -> Result<Outcome, Error> {
    let stored = preferences::read(app, person).await?;
    let mut wanted = Preferences::of(&stored);
    let mut left_out = Vec::new();
    for (kind, address) in addresses {
        match wanted.addresses.get(kind) {
            Some(known) if known == address => {}
            Some(_) => left_out.push(format!(
                "the person already has an address of the kind {kind}"
            )),
            None => {
                wanted.addresses.insert(kind.clone(), address.clone());
            }
        }
    }
    // Equal preferences add no event.
    let meta = Meta::system("import-oncall", "import-oncall");
    preferences::write(app, person, wanted, meta).await?;
    Ok(Outcome::of(left_out))
}
