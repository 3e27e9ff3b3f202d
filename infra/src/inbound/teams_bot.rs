//! Verifies activities that the Bot Framework sends to a bot of Microsoft Teams (reference/notifications.md 2). The Bot
//! Framework signs no body. It sends a JSON Web Token (RFC 7519) whose signature belongs to a published key. The token names
//! the bot and the address of the service, and it expires. TLS protects the body.
//!
//! The desk refuses a token without the claim `serviceurl` and a key without endorsements. The libraries of the vendor accept
//! a key without endorsements.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::Moment;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Answer, Inbound, Message, Place, Refusal, Request, Verified, object, required, text, unreadable,
};

/// Maximum difference between the times in a token and the clock of the desk, in milliseconds. The Bot Framework defines
/// five minutes.
const SKEW_MS: i64 = 300_000;
/// Maximum length of a token, in bytes. A usual token has less than 2,000.
const TOKEN_BYTES_MAX: usize = 8_192;
/// Maximum number of published keys that the desk reads. The Bot Framework publishes less than 20.
const KEYS_MAX: usize = 64;
/// The name of Microsoft Teams in the Bot Framework.
const TEAMS: &str = "msteams";
/// The form of the secret, for messages to operators.
const FORM: &str = "the published keys of the Bot Framework";

/// The codec for bots of Microsoft Teams.
pub struct TeamsBot;

/// The data with which an activity is checked. The function `verify` of [`TeamsBot`] gets it in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// The application id of the bot.
    pub app_id: String,
    /// The issuer of the tokens.
    pub issuer: String,
    pub keys: Vec<PublishedKey>,
}

/// A published key of the Bot Framework (JSON Web Key, RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedKey {
    /// The id of the key.
    pub kid: String,
    /// The modulus of the RSA key, in Base64 for URLs.
    pub n: String,
    /// The exponent of the RSA key, in Base64 for URLs.
    pub e: String,
    /// The channels of the Bot Framework that may use the key.
    #[serde(default)]
    pub endorsements: Vec<String>,
}

/// Reads the document with the published keys. Keys that are not RSA keys are ignored.
pub fn published(document: &[u8]) -> Result<Vec<PublishedKey>, String> {
    let document: Value = serde_json::from_slice(document)
        .map_err(|_| "the document with the keys is not JSON".to_owned())?;
    let keys = document["keys"].as_array();
    let keys = keys.ok_or_else(|| "the document with the keys has no `keys`".to_owned())?;
    let rsa = keys.iter().filter(|key| key["kty"] == "RSA");
    let keys: Vec<PublishedKey> = rsa
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .take(KEYS_MAX)
        .collect();
    if keys.is_empty() {
        return Err("the document with the keys has no RSA key".into());
    }
    Ok(keys)
}

/// Returns the id of the key in the token of a request. The token is not checked. Returns `None` if there is no token.
#[must_use]
pub fn key_id(request: &Request<'_>) -> Option<String> {
    let (header, _) = token(request).ok()?.split_once('.')?;
    let header = part(header).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

impl Inbound for TeamsBot {
    fn name(&self) -> &'static str {
        "teams_bot"
    }

    /// Returns the kind of the channel `teams_bot`: the id of the personal chat with the bot. Only one person can write in
    /// such a chat.
    fn address_kind(&self) -> &'static str {
        "teams"
    }

    /// Teams expects a response to the press of a button. The response of the desk only shows a text, because the desk
    /// executes the action later and then replaces the card.
    fn stored(&self, message: Option<&Message>) -> Answer {
        if message.is_none_or(|message| message.value.is_none()) {
            return Answer::json(&json!({}));
        }
        Answer::json(&json!({
            "statusCode": 200,
            "type": "application/vnd.microsoft.activity.message",
            "value": "已收到，正在处理。Received.",
        }))
    }

    fn has_published_keys(&self) -> bool {
        true
    }

    fn learns_address(&self) -> bool {
        true
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let trusted: Trusted = serde_json::from_str(secret).map_err(|_| Refusal::Secret(FORM))?;
        let (key, claims) = claims(token(request)?, &trusted)?;
        check_claims(&claims, &trusted, now)?;
        // The token does not cover the body, so a body that does not belong to the token is not from a verified sender.
        let activity = Value::Object(request.json().map_err(Refusal::before_check)?);
        if text(&activity, "/channelId") != TEAMS {
            return Err(Refusal::Claim(
                "the activity must come from the channel msteams",
            ));
        }
        if !key.endorsements.iter().any(|channel| channel == TEAMS) {
            return Err(Refusal::Claim("its key must have the endorsement msteams"));
        }
        let service = text(&activity, "/serviceUrl");
        if service.is_empty() || text(&claims, "/serviceurl") != service {
            return Err(Refusal::Claim(
                "its claim `serviceurl` must be the `serviceUrl` of the activity",
            ));
        }
        message(&activity)
    }
}

fn token<'a>(request: &Request<'a>) -> Result<&'a str, Refusal> {
    let token = request.header("authorization")?.strip_prefix("Bearer ");
    token
        .filter(|token| token.len() <= TOKEN_BYTES_MAX)
        .ok_or(Refusal::Signature)
}

/// Decodes the header or the claims of a token.
fn part(text: &str) -> Result<Value, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    let bytes = bytes.map_err(|_| Refusal::Signature)?;
    object(&bytes)
        .map(Value::Object)
        .map_err(|_| Refusal::Signature)
}

/// Checks the signature of a token, and returns its key and its claims. Only RS256 (RFC 7518, section 3.3) is accepted.
fn claims<'a>(token: &str, trusted: &'a Trusted) -> Result<(&'a PublishedKey, Value), Refusal> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Signature)?;
    let (header, claims) = signed.split_once('.').ok_or(Refusal::Signature)?;
    let header = part(header)?;
    if text(&header, "/alg") != "RS256" {
        return Err(Refusal::Signature);
    }
    let id = text(&header, "/kid");
    let key = trusted.keys.iter().find(|key| key.kid == id);
    let key = key.ok_or(Refusal::Signature)?;
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Signature);
    let public = RsaPublicKeyComponents {
        n: decoded(&key.n)?,
        e: decoded(&key.e)?,
    };
    let (parameters, signature) = (&RSA_PKCS1_2048_8192_SHA256, decoded(signature)?);
    public
        .verify(parameters, signed.as_bytes(), &signature)
        .map_err(|_| Refusal::Signature)?;
    Ok((key, part(claims)?))
}

/// Checks the issuer, the receiver and the times of a token.
fn check_claims(claims: &Value, trusted: &Trusted, now: Moment) -> Result<(), Refusal> {
    if text(claims, "/iss") != trusted.issuer {
        return Err(Refusal::Claim("its issuer must be the Bot Framework"));
    }
    if !text(claims, "/aud").eq_ignore_ascii_case(&trusted.app_id) {
        return Err(Refusal::Claim(
            "its audience must be the bot of the account",
        ));
    }
    let seconds = |name: &str| claims[name].as_i64().and_then(|at| at.checked_mul(1_000));
    let expires = seconds("exp").ok_or(Refusal::Claim("it must expire"))?;
    let starts = seconds("nbf").unwrap_or(i64::MIN);
    let (early, late) = (now.0.saturating_add(SKEW_MS), now.0.saturating_sub(SKEW_MS));
    if expires < late || starts > early {
        return Err(Refusal::Stale(SKEW_MS / 1_000));
    }
    Ok(())
}

/// Reads an activity. Only activities in personal chats count: in other chats, the id of the chat is not the id of a person.
fn message(activity: &Value) -> Result<Verified, Refusal> {
    if text(activity, "/conversation/conversationType") != "personal" {
        return Ok(Verified::Nothing);
    }
    let (said, value, at) = match text(activity, "/type") {
        "message" => (text(activity, "/text").replace("&nbsp;", " "), None, "/id"),
        "invoke" if text(activity, "/name") == "adaptiveCard/action" => {
            let value = text(activity, "/value/action/data/value");
            let value = required(value, "value/action/data/value")?;
            (String::new(), Some(value), "/replyToId")
        }
        // A person has installed the bot. The desk answers an empty message with the way to link the account.
        "installationUpdate" if text(activity, "/action") == "add" => (String::new(), None, "/id"),
        _ => return Ok(Verified::Nothing),
    };
    let chat = required(text(activity, "/conversation/id"), "conversation/id")?;
    let id = required(text(activity, "/id"), "id")?;
    if chat.len() + id.len() >= super::ID_BYTES_MAX {
        return Err(unreadable("`conversation/id` and `id` are too long"));
    }
    Ok(Verified::message(Message {
        // The id of an activity is unique in its chat only.
        id: format!("{chat}/{id}"),
        user: chat.clone(),
        others: Vec::new(),
        group: String::new(),
        text: said,
        value,
        reply: None,
        place: Some(Place {
            service: text(activity, "/serviceUrl").to_owned(),
            chat,
            message: text(activity, at).to_owned(),
        }),
    }))
}
