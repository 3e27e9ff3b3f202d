//! Receives and stores callbacks from external ITSMs. A callback is a request that reports the
//! state of an application (a ticket in an external ITSM). The callback URL of each application
//! contains a secret.
//!
//! The secret is computed from a key of the desk and the application id. The desk therefore does
//! not need to store the secret. The desk chooses the application id before the external ITSM
//! creates the application. The first request to the ITSM can therefore already contain the
//! callback URL.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use domain::inbound::Inbound;
use domain::itsm::application::Application;
use events::Meta;
use events::inbound::Received;
use infra::http::egress::Egress;
use infra::keys::seal::{NONCE_BYTES, open_bytes, seal_bytes};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use super::applications;
use crate::App;
use crate::app::limits::limited;
use crate::app::request_scope;

/// The part of a callback URL path that identifies BlueKing ITSM.
pub const BK_ITSM: &str = "bk-itsm";
/// Number of characters in the id of an application (a ticket in an external ITSM). The secret in a
/// callback URL consists of this id and a signature with the same length.
const ID_CHARS: usize = 32;
/// The JSON keys that every callback from BlueKing ITSM must contain (reference/bk-itsm.md 10).
const REQUIRED: [&str; 3] = ["sn", "current_status", "token"];

/// An id that no application has. `ledgerdesk doctor` sends a request with the secret of this id to the public address
/// of the desk, and finds out whether this desk answers there.
pub const PROBE: &str = "00000000000000000000000000000000";

/// Returns the secret for the callback URL of an application (a ticket in an external ITSM). The
/// secret is the application id followed by a signature of this id.
pub fn secret_of(key: &[u8; 32], application: &str) -> String {
    format!("{application}{}", signature(key, application))
}

/// Checks the secret in a callback URL, and returns the application id from this secret. An
/// application is a ticket in an external ITSM. Returns `None` if the signature in the secret is
/// wrong.
pub fn application_of<'a>(key: &[u8; 32], secret: &'a str) -> Option<&'a str> {
    let (application, given) = secret.split_at_checked(ID_CHARS)?;
    // This code compares hashes of the two signatures, because the comparison of hashes takes
    // constant time. An attacker therefore cannot find the correct signature by measuring the time.
    let is_valid =
        blake3::hash(given.as_bytes()) == blake3::hash(signature(key, application).as_bytes());
    is_valid.then_some(application)
}

fn signature(key: &[u8; 32], application: &str) -> String {
    let of_applications = blake3::keyed_hash(key, b"application callback");
    let mac = blake3::keyed_hash(of_applications.as_bytes(), application.as_bytes());
    mac.to_hex().as_str()[..ID_CHARS].to_owned()
}

/// Returns the secret in the address for messages of a source of cases.
pub fn secret_of_source(key: &[u8; 32], source: &str) -> String {
    let of_sources = blake3::keyed_hash(key, b"messages of a source");
    let mac = blake3::keyed_hash(of_sources.as_bytes(), source.as_bytes());
    mac.to_hex().to_string()
}

/// Checks the secret in the address for messages of a source of cases, in constant time.
pub fn is_secret_of_source(key: &[u8; 32], source: &str, given: &str) -> bool {
    blake3::hash(given.as_bytes()) == blake3::hash(secret_of_source(key, source).as_bytes())
}

/// A message of another system.
pub struct Message<'a> {
    /// The kind of callback, or the name of the source of cases.
    pub source: &'a str,
    /// The name of the stream of the object to which the message refers.
    pub subject: String,
    pub body: &'a [u8],
    /// The id that is the same for each repetition of the message, and that no other message has. `None` if only the content
    /// identifies the message.
    pub delivery: Option<&'a str>,
    /// The reason why the body is not valid, or `None` for a valid body.
    pub problem: Option<String>,
}

/// The time after which the sender of a callback can repeat it while other callbacks wait for their check, in seconds.
const WAITING_RETRY_S: u32 = 60;

/// The reason why a callback about an application was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    #[error("the address of the sender is not in `callback_networks` of the integration")]
    Sender,
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Stores a callback about an application (a ticket in an external ITSM). If the body is not valid,
/// returns the reason as a text. The callback is stored even then.
///
/// Nothing is stored if the application does not exist or has ended, or if the same body arrives again. If the external
/// ITSM could not check a token before, the same body is stored once more, so that its token is checked again. Returns the
/// error `Limited` for too many callbacks, or if other ones wait for the check of their tokens.
pub async fn store(app: &App, application: &str, body: &[u8]) -> Result<Option<String>, NotStored> {
    let problem = problem_of(body);
    let subject = format!("application-{application}");
    let state = app.ledger.load::<Application>(&subject).await?.aggregate.0;
    if !state.is_open() {
        return Ok(problem);
    }
    let kind = state.kind();
    if !is_permitted(app, kind).await? {
        return Err(NotStored::Sender);
    }
    let fingerprint = app.keys().await?.fingerprint;
    let digest = digest_of(&fingerprint, body);
    let identity = match state.unchecked {
        0 => digest,
        checks => format!("{digest} {checks}"),
    };
    let stream = stream_of(BK_ITSM, &subject, &identity);
    if app
        .ledger
        .load::<Inbound>(&stream)
        .await?
        .aggregate
        .0
        .0
        .is_some()
    {
        return Ok(problem);
    }
    if !state.accepts_hints() {
        let what = "other callbacks about this application wait for the check of their tokens";
        return Err(limited(what, WAITING_RETRY_S).into());
    }
    let now = app.ledger.clock.now();
    app.limits.called_back(application, kind, now)?;
    let message = Message {
        source: BK_ITSM,
        subject,
        body,
        delivery: None,
        problem: problem.clone(),
    };
    store_as(app, &message, stream).await?;
    Ok(problem)
}

/// Returns whether the integration of an application kind accepts callbacks from the sender of the current request.
async fn is_permitted(app: &App, kind: &str) -> Result<bool, Error> {
    let Some(kind) = app.configuration.application_kind(kind).await? else {
        return Ok(true);
    };
    let integration = app.configuration.integration(&kind.integration).await?;
    let Some(defined) = &integration.defined else {
        return Ok(true);
    };
    Ok(is_in(&defined.callback_networks, request_scope::address()))
}

/// Returns whether an address is in one of the networks. An empty list contains all addresses. An unknown address is in no
/// network.
fn is_in(networks: &[String], address: Option<IpAddr>) -> bool {
    if networks.is_empty() {
        return true;
    }
    let networks = Egress::read(&networks.join(","));
    matches!((networks, address), (Ok(networks), Some(address)) if networks.contains(address))
}

/// Stores a message, also one with a problem. If the same message arrives again, no event is added.
pub async fn store_message(app: &App, message: &Message<'_>) -> Result<(), Error> {
    let identity = match message.delivery {
        Some(delivery) => identity_of(delivery),
        None => digest_of(&app.keys().await?.fingerprint, message.body),
    };
    let stream = stream_of(message.source, &message.subject, &identity);
    store_as(app, message, stream).await
}

/// Stores a message in the given stream. If the stream already has a message, no event is added.
async fn store_as(app: &App, message: &Message<'_>, stream: String) -> Result<(), Error> {
    let keys = app.keys().await?;
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.rng.fill(&mut nonce);
    let sealed = seal_bytes(&keys.files, nonce, &stream, message.body);
    let received = Received {
        source: message.source.into(),
        subject: message.subject.clone(),
        body: STANDARD_NO_PAD.encode(sealed),
        problem: message.problem.clone().unwrap_or_default(),
    };
    let command_envelope = CommandEnvelope {
        command_id: command_id(&["receive", &stream]),
        meta: Meta::system(stream.clone(), received.subject.clone()),
        stream,
    };
    match app
        .ledger
        .execute::<Inbound>(&command_envelope, &received, &NoContext)
        .await
    {
        Ok(_) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error),
        Err(ExecuteError::Rejected(rejection)) => match rejection {},
    }
}

/// Returns the keyed hash of the body of a message.
fn digest_of(key: &[u8; 32], body: &[u8]) -> String {
    blake3::keyed_hash(key, body).to_hex().to_string()
}

/// Returns the id of a message whose sender chose the text `delivery`. The signature of the message does not protect this
/// text, and a sender can use it again for other content, for example after its counter begins again. Only the text together
/// with the content therefore identifies the message.
pub async fn delivery_of(app: &App, delivery: &str, body: &[u8]) -> Result<String, Error> {
    let digest = digest_of(&app.keys().await?.fingerprint, body);
    Ok(format!("{delivery} {digest}"))
}

/// Returns the text that identifies a message by its id.
fn identity_of(delivery: &str) -> String {
    format!("delivery {delivery}")
}

/// Returns the name of the stream of a message.
fn stream_of(source: &str, subject: &str, identity: &str) -> String {
    let subject = applications::id_of(subject);
    let hash = command_id(&["inbound", source, subject, identity]);
    format!("inbound-{}", infra::commit::hex(&hash))
}

/// Returns true if the message with the id `delivery` is stored.
pub async fn is_stored(
    app: &App,
    source: &str,
    subject: &str,
    delivery: &str,
) -> Result<bool, Error> {
    let stream = stream_of(source, subject, &identity_of(delivery));
    let loaded = app.ledger.load::<Inbound>(&stream).await?;
    Ok(loaded.aggregate.0.0.is_some())
}

/// Returns the body of a message that is stored in the event stream `stream`. Returns `None` if the message does not
/// exist.
pub async fn body_of(app: &App, stream: &str) -> Result<Option<Vec<u8>>, Error> {
    let stored = app.ledger.load::<Inbound>(stream).await?.aggregate.0.0;
    let Some(received) = stored else {
        return Ok(None);
    };
    let sealed = STANDARD_NO_PAD.decode(&received.body);
    let sealed =
        sealed.map_err(|_| Error::corrupt(format!("the body of {stream} is not base64")))?;
    open_bytes(&app.keys().await?.files, stream, &sealed).map(Some)
}

/// Returns the token in a callback that is stored in the event stream `stream`. Returns `None` if
/// the callback does not exist or contains no token.
pub async fn token_of(app: &App, stream: &str) -> Result<Option<String>, Error> {
    let Some(body) = body_of(app, stream).await? else {
        return Ok(None);
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(body["token"].as_str().map(str::to_owned))
}

/// Returns the reason why the body of a callback is not valid. Returns `None` for a valid body.
fn problem_of(body: &[u8]) -> Option<String> {
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else {
        return Some("the body is not a JSON object".into());
    };
    REQUIRED
        .iter()
        .find(|name| {
            let text = members.get(**name).and_then(Value::as_str);
            text.is_none_or(str::is_empty)
        })
        .map(|name| format!("`{name}` is required"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5d41402abc4b2a76b9719d911017c592";

    #[test]
    fn a_secret_belongs_to_one_application_and_one_desk() {
        let secret = secret_of(&[1; 32], ID);
        assert_eq!(secret.len(), 64);
        assert_eq!(application_of(&[1; 32], &secret), Some(ID));
        let probe = secret_of(&[1; 32], PROBE);
        assert_eq!(application_of(&[1; 32], &probe), Some(PROBE));
        assert_eq!(application_of(&[2; 32], &probe), None);
        assert_eq!(application_of(&[2; 32], &secret), None);
        let other = format!("a{}", &secret[1..]);
        for wrong in ["", ID, &secret[..63], &other, "我".repeat(30).as_str()] {
            assert_eq!(application_of(&[1; 32], wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_of_a_source_belongs_to_one_source_and_one_desk() {
        let secret = secret_of_source(&[1; 32], "crm");
        assert!(is_secret_of_source(&[1; 32], "crm", &secret));
        assert!(!is_secret_of_source(&[2; 32], "crm", &secret));
        assert!(!is_secret_of_source(&[1; 32], "crm2", &secret));
        for wrong in ["", "crm", &secret[1..], &secret_of(&[1; 32], ID)] {
            assert!(!is_secret_of_source(&[1; 32], "crm", wrong), "{wrong}");
        }
    }

    #[test]
    fn an_address_must_be_in_a_network_if_there_are_networks() {
        let given = |networks: &[&str], address: Option<&str>| {
            let networks: Vec<String> = networks.iter().map(|one| (*one).to_owned()).collect();
            is_in(&networks, address.map(|address| address.parse().unwrap()))
        };
        assert!(given(&[], None), "no networks are defined");
        assert!(given(&[], Some("203.0.113.7")));
        let networks = ["10.1.0.0/16", "2001:db8::/32", "203.0.113.7"];
        for inside in [
            "10.1.200.3",
            "::ffff:10.1.2.3",
            "2001:db8::1",
            "203.0.113.7",
        ] {
            assert!(given(&networks, Some(inside)), "{inside}");
        }
        for outside in ["10.2.0.1", "203.0.113.8", "2001:db9::1", "127.0.0.1"] {
            assert!(!given(&networks, Some(outside)), "{outside}");
        }
        assert!(!given(&networks, None), "the address is unknown");
    }

    #[test]
    fn a_body_without_a_required_member_is_named() {
        let problem = |body: &str| problem_of(body.as_bytes());
        assert_eq!(
            problem(r#"{"sn":"REQ1","current_status":"FINISHED","token":"t"}"#),
            None
        );
        assert_eq!(
            problem(r#"{"sn":"REQ1","current_status":"FINISHED"}"#).unwrap(),
            "`token` is required"
        );
        assert_eq!(
            problem(r#"{"sn":"","current_status":"FINISHED","token":"t"}"#).unwrap(),
            "`sn` is required"
        );
        assert_eq!(problem("[]").unwrap(), "the body is not a JSON object");
    }
}
