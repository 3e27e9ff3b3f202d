//! Removes a person who is erased from the open chat groups of tickets. A platform removes a member only by the address of
//! the member, and the erasure makes all stored addresses of the person unreadable. The address for the removal is therefore
//! kept as a secret of the key store, which neither the ledger nor a view contains. The secret is destroyed before the end of
//! the removal is stored, and at the deadline [`ERASED_MS`] at the latest.

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::chat_group::{ChatGroup, Command, ERASED_MS};
use events::{Meta, PersonId};
use infra::Error;
use infra::channel::{self, Channel};

use super::addresses;
use crate::App;

/// The beginning of the names of all streams with chat groups.
const STREAMS: &str = "chat_group-";

/// The addresses of a person, read before the erasure. They are never stored in this form.
#[derive(Default)]
pub(crate) struct Known {
    /// The addresses in the preferences, by kind.
    of_person: BTreeMap<String, String>,
    /// The addresses of the person as a member, by the stream of the group.
    of_member: BTreeMap<String, String>,
}

/// The open chat groups that possibly contain a person.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// The streams of the groups from which the desk removes the person.
    pub(crate) left: BTreeSet<String>,
    /// The streams of the groups from which the desk cannot remove the person, because it has no address.
    pub(crate) kept: BTreeSet<String>,
}

impl Known {
    /// Reads the addresses in the preferences of the person.
    pub(crate) async fn read(app: &App, person: &PersonId) -> Result<Self, Error> {
        let preferences = addresses::person(app, person).await?.0;
        let stored = preferences.iter().flat_map(|one| &one.addresses);
        let texts = stored.filter_map(|(kind, address)| Some((kind, address.value.as_str()?)));
        Ok(Self {
            of_person: texts
                .filter(|(_, text)| !text.is_empty())
                .map(|(kind, text)| (kind.clone(), text.to_owned()))
                .collect(),
            of_member: BTreeMap::new(),
        })
    }

    /// Returns the address under which the platform knows the person in a group. Keeps the address that the group has stored.
    fn address(&mut self, stream: &str, group: &ChatGroup, person: &PersonId) -> Option<&str> {
        let stored = group.members.get(person);
        let stored = stored.and_then(|address| address.value.as_str());
        if let Some(text) = stored.filter(|text| !text.is_empty()) {
            self.of_member.insert(stream.to_owned(), text.to_owned());
        }
        let channel = group.requested.as_ref().map(|one| one.channel.as_str());
        let kind = channel.and_then(channel::find).map(Channel::address_kind);
        let of_person = kind.and_then(|kind| self.of_person.get(kind));
        let found = self.of_member.get(stream).or(of_person);
        found.map(String::as_str)
    }
}

/// Finds the open groups that possibly contain a person. `streams` are the streams whose events name the person. If
/// `requests` is true, stores the address for each group in the key store and requests the removal. A second call requests
/// nothing for the same group.
pub(crate) async fn leave(
    app: &App,
    person: &PersonId,
    streams: &BTreeSet<String>,
    known: &mut Known,
    requests: bool,
) -> Result<Groups, Error> {
    let mut found = Groups::default();
    for stream in streams.iter().filter(|name| name.starts_with(STREAMS)) {
        let group = app.ledger.load::<ChatGroup>(stream).await?.aggregate.0;
        if group.erased.contains_key(person) {
            found.left.insert(stream.clone());
        }
        if !group.may_contain(person) {
            continue;
        }
        let Some(address) = known.address(stream, &group, person) else {
            found.kept.insert(stream.clone());
            continue;
        };
        if requests && !request(app, person, stream, address).await? {
            continue;
        }
        found.left.insert(stream.clone());
    }
    Ok(found)
}

/// Requests the removal of a person from one group. Returns false if the group was closed in the meantime.
async fn request(app: &App, person: &PersonId, stream: &str, address: &str) -> Result<bool, Error> {
    let secret = format!("erased/{stream}/{person}");
    let keys = &app.ledger.keys;
    keys.keep_secret(&secret, address.as_bytes()).await?;
    let now = app.ledger.clock.now();
    let command = Command::Erase {
        person: person.clone(),
        secret: secret.clone(),
        until: now.plus_ms(ERASED_MS),
        at: now,
    };
    let (id, meta) = (app.ledger.fresh_id(), Meta::system(stream, stream));
    let is_requested = app
        .must_execute::<ChatGroup>(stream, id, meta, &command)
        .await?;
    if !is_requested {
        destroy(app, &secret).await?;
    }
    Ok(is_requested)
}

/// Destroys the address of an erased person. Does nothing if it was destroyed before.
pub async fn destroy(app: &App, secret: &str) -> Result<(), Error> {
    app.ledger.keys.remove_secret(secret).await?;
    // The key store has overwritten the secret. Older pages of its file can still contain a copy.
    if let Err(error) = app.ledger.keys.scrub().await {
        tracing::warn!(%error, "the file of the key store possibly contains the address of an erased person until the next erasure");
    }
    Ok(())
}

/// Destroys the address of an erased person at its deadline, and ends the removal.
pub async fn give_up(app: &App, stream: &str, person: &PersonId) -> Result<(), Error> {
    let group = app.ledger.load::<ChatGroup>(stream).await?.aggregate.0;
    let now = app.ledger.clock.now();
    let Some(erased) = group.erased.get(person).filter(|one| one.until <= now) else {
        return Ok(());
    };
    destroy(app, &erased.secret).await?;
    let command = Command::GiveUp {
        person: person.clone(),
        at: now,
    };
    let (id, meta) = (app.ledger.fresh_id(), Meta::system(stream, stream));
    app.must_execute::<ChatGroup>(stream, id, meta, &command)
        .await
        .map(drop)
}
