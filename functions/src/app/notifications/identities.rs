//! Links chat accounts with people. A person first stores the address of the chat account in the preferences. Then the
//! person requests a code from the desk and sends it from the chat account. The code proves the person, and the signature
//! of the platform proves the chat account. A display name or a mail address in a message proves nothing.
//!
//! A person cannot know the address of some chat accounts, such as the id of the chat with a bot of Teams. The link of such an
//! account stores the address.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::notification::chat_identity::ChatIdentity;
use events::chat_identity::Linked;
use events::{Meta, Moment, PersonId};
use infra::inbound::is_learned;
use infra::ledger::{NoContext, command_id as id_of};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use super::preferences;
use crate::App;

/// The address in codes for chat accounts whose address the person does not know. Such a code is valid for every chat account
/// of its kind.
const ANY: &str = "";

/// Time for which a code is valid, in milliseconds (10 minutes).
pub const CODE_VALID_MS: i64 = 600_000;
/// Maximum length of a code in a message, in characters. Real codes are shorter.
const CODE_MAX: usize = 200;

/// A code that links one chat account with one person. The code is useless for every other account and person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    pub code: String,
    pub expires: Moment,
}

/// Returns a code for the chat account that the preferences of the person name. Returns `None` if the preferences have no
/// address of this kind, and the link does not store the address.
pub async fn issue(app: &App, person: &PersonId, kind: &str) -> Result<Option<Code>, Error> {
    let address = if is_learned(kind) {
        ANY.to_owned()
    } else {
        let Some(address) = address_of(app, person, kind).await? else {
            return Ok(None);
        };
        address
    };
    let key = app.token_keys().await?.newest;
    let expires = app.ledger.clock.now().plus_ms(CODE_VALID_MS);
    let code = sign(&key, person, kind, &address, expires);
    Ok(Some(Code { code, expires }))
}

/// Links the chat account `address` with the person of a code. Returns the person. Returns `None` if the code is wrong or
/// has expired, or if the person has removed the address from the preferences.
pub async fn link(
    app: &App,
    kind: &str,
    address: &str,
    code: &str,
    command_id: [u8; 16],
    cause: &str,
) -> Result<Option<PersonId>, Error> {
    let now = app.ledger.clock.now();
    let keys = app.token_keys().await?;
    let address = plain(kind, address);
    let address = address.as_str();
    let is_learned = is_learned(kind);
    let in_code = if is_learned { ANY } else { address };
    let Some(person) = keys.first(|key| person_in(key, code, kind, in_code, now)) else {
        return Ok(None);
    };
    let meta = Meta {
        actor: person.clone(),
        ..Meta::system(cause, cause)
    };
    if is_learned {
        let id = id_of(&["address", kind, address, code]);
        preferences::set_address(app, &person, kind, address, id, meta.clone()).await?;
    } else if address_of(app, &person, kind).await?.as_deref() != Some(address) {
        return Ok(None);
    }
    let command_envelope = CommandEnvelope {
        stream: stream_of(app, kind, address).await?,
        command_id,
        meta,
    };
    let linked = Linked {
        person: person.clone(),
        kind: kind.to_owned(),
    };
    app.ledger
        .execute::<ChatIdentity>(&command_envelope, &linked, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(Some(person))
}

/// Returns the person to whom a chat account belongs. Returns `None` if the account is not linked, or if the person has
/// removed the address from the preferences.
pub async fn person_of(app: &App, kind: &str, address: &str) -> Result<Option<PersonId>, Error> {
    let address = plain(kind, address);
    let stream = stream_of(app, kind, &address).await?;
    let state = app.ledger.load::<ChatIdentity>(&stream).await?.aggregate.0;
    let Some(linked) = state.0 else {
        return Ok(None);
    };
    let current = address_of(app, &linked.person, kind).await?;
    Ok((current.as_deref() == Some(address.as_str())).then_some(linked.person))
}

/// Returns the address of a person from the preferences.
async fn address_of(app: &App, person: &PersonId, kind: &str) -> Result<Option<String>, Error> {
    let preferences = preferences::read(app, person).await?;
    let address = preferences.addresses.get(kind);
    let address = address.and_then(|address| address.value.as_str());
    Ok(address.map(|address| plain(kind, address)))
}

/// Returns an address in the form that is compared. Letter case makes no difference in mail addresses.
fn plain(kind: &str, address: &str) -> String {
    if kind == "email" {
        address.to_ascii_lowercase()
    } else {
        address.to_owned()
    }
}

/// Returns the name of the stream of a chat account. The name contains a hash with a secret key, so it does not reveal
/// the address.
async fn stream_of(app: &App, kind: &str, address: &str) -> Result<String, Error> {
    let key = app.keys().await?.fingerprint;
    let name = Value::from(vec!["chat identity", kind, address]).to_string();
    let hash = blake3::keyed_hash(&key, name.as_bytes()).to_hex();
    Ok(format!("chat_identity-{}", &hash.as_str()[..32]))
}

fn sign(key: &[u8; 32], person: &PersonId, kind: &str, address: &str, expires: Moment) -> String {
    let mac = mac(key, person, kind, address, expires);
    URL_SAFE_NO_PAD.encode(format!("{mac}.{}.{person}", expires.0))
}

fn person_in(
    key: &[u8; 32],
    code: &str,
    kind: &str,
    address: &str,
    now: Moment,
) -> Option<PersonId> {
    if code.len() > CODE_MAX {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(code.trim()).ok()?).ok()?;
    let mut parts = text.splitn(3, '.');
    let (given, expires) = (parts.next()?, Moment(parts.next()?.parse().ok()?));
    let person = PersonId::from(parts.next()?);
    let expected = mac(key, &person, kind, address, expires);
    // The comparison of two BLAKE3 hashes takes constant time.
    let is_valid = blake3::hash(given.as_bytes()) == blake3::hash(expected.as_bytes());
    (is_valid && now <= expires).then_some(person)
}

fn mac(key: &[u8; 32], person: &PersonId, kind: &str, address: &str, expires: Moment) -> String {
    let of_codes = blake3::keyed_hash(key, b"code of a chat identity");
    let parts = serde_json::json!([person.as_str(), kind, address, expires.0]).to_string();
    let mac = blake3::keyed_hash(of_codes.as_bytes(), parts.as_bytes());
    mac.to_hex().as_str()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_bound_to_person_account_desk_and_time() {
        let person = PersonId::from("p0123456789abcdef01234567");
        let code = sign(&[1; 32], &person, "slack", "U1", Moment(100));
        let read =
            |key: u8, kind, address, now| person_in(&[key; 32], &code, kind, address, Moment(now));
        assert_eq!(read(1, "slack", "U1", 100), Some(person));
        assert_eq!(read(2, "slack", "U1", 100), None, "another desk");
        assert_eq!(read(1, "wecom", "U1", 100), None, "another platform");
        assert_eq!(read(1, "slack", "U2", 100), None, "another account");
        assert_eq!(read(1, "slack", "U1", 101), None, "expired");
        assert_eq!(person_in(&[1; 32], "x", "slack", "U1", Moment(0)), None);
    }
}
