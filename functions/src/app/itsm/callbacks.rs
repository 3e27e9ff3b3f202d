//! Receives and stores callbacks from external ITSMs. A callback is a request that reports the
//! state of an application (a ticket in an external ITSM). The callback URL of each application
//! contains a secret.
//!
//! The secret is computed from a key of the desk and the application id. The desk therefore does
//! not need to store the secret. The desk chooses the application id before the external ITSM
//! creates the application. The first request to the ITSM can therefore already contain the
//! callback URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use domain::inbound::Inbound;
use events::Meta;
use events::inbound::Received;
use infra::keys::seal::{NONCE_BYTES, open_bytes, seal_bytes};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use crate::App;

/// The part of a callback URL path that identifies BlueKing ITSM.
pub const BK_ITSM: &str = "bk-itsm";
/// Number of characters in the id of an application (a ticket in an external ITSM). The secret in a
/// callback URL consists of this id and a signature with the same length.
const ID_CHARS: usize = 32;
/// The JSON keys that every callback from BlueKing ITSM must contain (reference/bk-itsm.md 10).
const REQUIRED: [&str; 3] = ["sn", "current_status", "token"];

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

/// Stores a callback about an application (a ticket in an external ITSM). If the body is not valid,
/// returns the reason as a text. The callback is stored even then. If the same body arrives again,
/// no event is added.
pub async fn store(app: &App, application: &str, body: &[u8]) -> Result<Option<String>, Error> {
    let keys = app.keys().await?;
    let problem = problem_of(body);
    let digest = blake3::keyed_hash(&keys.fingerprint, body).to_hex();
    let hash = command_id(&["inbound", BK_ITSM, application, &digest]);
    let stream = format!("inbound-{}", infra::commit::hex(&hash));
    let mut nonce = [0; NONCE_BYTES];
    app.ledger.rng.fill(&mut nonce);
    let sealed = seal_bytes(&keys.files, nonce, &stream, body);
    let received = Received {
        source: BK_ITSM.into(),
        subject: format!("application-{application}"),
        body: STANDARD_NO_PAD.encode(sealed),
        problem: problem.clone().unwrap_or_default(),
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
        Ok(_) => Ok(problem),
        Err(ExecuteError::Technical(error)) => Err(error),
        Err(ExecuteError::Rejected(rejection)) => match rejection {},
    }
}

/// Returns the token in a callback that is stored in the event stream `stream`. Returns `None` if
/// the callback does not exist or contains no token.
pub async fn token_of(app: &App, stream: &str) -> Result<Option<String>, Error> {
    let stored = app.ledger.load::<Inbound>(stream).await?.aggregate.0.0;
    let Some(received) = stored else {
        return Ok(None);
    };
    let sealed = STANDARD_NO_PAD.decode(&received.body);
    let sealed =
        sealed.map_err(|_| Error::corrupt(format!("the body of {stream} is not base64")))?;
    let body = open_bytes(&app.keys().await?.files, stream, &sealed)?;
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
        assert_eq!(application_of(&[2; 32], &secret), None);
        let other = format!("a{}", &secret[1..]);
        for wrong in ["", ID, &secret[..63], &other, "我".repeat(30).as_str()] {
            assert_eq!(application_of(&[1; 32], wrong), None, "{wrong}");
        }
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
