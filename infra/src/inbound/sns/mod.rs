//! Verifies messages of Amazon SNS (reference/notifications.md 2). SNS signs the members of a message with an RSA
//! key. The message contains the address of the certificate with the public key. The address must belong to SNS, and
//! it is checked before it is used. Everybody can own a topic of SNS, so the topic must be the one of the secret.

pub mod fake;

use events::Moment;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::{Map, Value};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::{Refusal, Request, check_timestamp, from_base64, is_equal, required, unreadable};
use crate::http::Url;

/// Maximum length of an address in a message, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// The content of a verified message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Notification {
        id: String,
        message: String,
    },
    /// SNS sends messages only after a request to this address.
    Confirmation(String),
    /// The subscription has ended.
    Ended,
}

/// Returns the address of the certificate in a message about one of the topics.
pub(super) fn certificate_url(request: &Request<'_>, topics: &[String]) -> Result<String, Refusal> {
    let members = request.json().map_err(Refusal::before_check)?;
    check_topic(&members, topics)?;
    certificate_address(&members).map(str::to_owned)
}

/// Returns the address of the certificate in a message. Returns an error if the address does not belong to SNS.
fn certificate_address(members: &Map<String, Value>) -> Result<&str, Refusal> {
    let url = member(members, "SigningCertURL").or_else(|_| member(members, "SigningCertUrl"))?;
    let parsed = of_sns(url).ok_or(Refusal::Certificate("its address must be a host of SNS"))?;
    let ending = parsed.path().rsplit('.').next();
    if ending == Some("pem") && parsed.query().is_none() {
        Ok(url)
    } else {
        Err(Refusal::Certificate("its address must end with .pem"))
    }
}

/// Reads an address. Returns `None` if its host is not `sns.<region>.amazonaws.com` (or the same host in China) over
/// HTTPS.
fn of_sns(url: &str) -> Option<Url> {
    let parsed = url
        .parse::<Url>()
        .ok()
        .filter(|_| url.len() <= URL_BYTES_MAX)?;
    let host = parsed.host_str()?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let is_region = !region.is_empty()
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_plain = parsed.scheme() == "https"
        && parsed.port().is_none()
        && parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.fragment().is_none();
    (is_region && is_plain).then_some(parsed)
}

/// Checks that a message names one of the topics. The signature is not checked yet, so this proves nothing. It only
/// prevents that everybody can cause requests for certificates.
fn check_topic(members: &Map<String, Value>, topics: &[String]) -> Result<(), Refusal> {
    let given = member(members, "TopicArn")?;
    if topics.iter().any(|topic| topic.trim() == given) {
        Ok(())
    } else {
        Err(Refusal::Token)
    }
}

/// Checks the signature, the topic and the time of a message, and returns its content. `topic` is the ARN of the topic.
pub(super) fn verify(request: &Request<'_>, topic: &str, now: Moment) -> Result<Content, Refusal> {
    let topic = topic.trim();
    if !topic.starts_with("arn:aws") {
        return Err(Refusal::Secret("the ARN of a topic of SNS"));
    }
    let members = request.json().map_err(Refusal::before_check)?;
    certificate_address(&members)?;
    let algorithm: &'static dyn VerificationAlgorithm = match member(&members, "SignatureVersion")?
    {
        "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(Refusal::Signature),
    };
    let text = text_to_sign(&members)?;
    let signature = from_base64(member(&members, "Signature")?).ok_or(Refusal::Signature)?;
    let key = public_key(request.certificate.unwrap_or_default(), now)?;
    UnparsedPublicKey::new(algorithm, key)
        .verify(text.as_bytes(), &signature)
        .map_err(|_| Refusal::Signature)?;
    if !is_equal(member(&members, "TopicArn")?.as_bytes(), topic.as_bytes()) {
        return Err(Refusal::Token);
    }
    check_timestamp(member(&members, "Timestamp")?, now)?;
    let url = || {
        let url = member(&members, "SubscribeURL")
            .map_err(|_| unreadable("`SubscribeURL` is required"))?;
        of_sns(url)
            .map(String::from)
            .ok_or_else(|| unreadable("`SubscribeURL` must be a host of SNS"))
    };
    match member(&members, "Type")? {
        "Notification" => Ok(Content::Notification {
            id: required(member(&members, "MessageId")?, "MessageId")?,
            message: member(&members, "Message")?.to_owned(),
        }),
        "SubscriptionConfirmation" => Ok(Content::Confirmation(url()?)),
        "UnsubscribeConfirmation" => Ok(Content::Ended),
        _ => Err(unreadable("`Type` is not a type of SNS")),
    }
}

/// Returns the text over which SNS computes the signature: the names and the values of some members, one in each line.
fn text_to_sign(members: &Map<String, Value>) -> Result<String, Refusal> {
    let names: &[&str] = match member(members, "Type")? {
        "Notification" => &[
            "Message",
            "MessageId",
            "Subject",
            "Timestamp",
            "TopicArn",
            "Type",
        ],
        _ => &[
            "Message",
            "MessageId",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ],
    };
    let mut text = String::new();
    for name in names {
        // Only the subject is optional.
        if *name == "Subject" && members.get(*name).is_none_or(Value::is_null) {
            continue;
        }
        for part in [*name, member(members, name)?] {
            text.push_str(part);
            text.push('\n');
        }
    }
    Ok(text)
}

fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    let found = members.get(name).and_then(Value::as_str);
    found.ok_or_else(|| Refusal::Malformed(format!("`{name}` is required")))
}

/// Returns the public key (the structure `RSAPublicKey` of PKCS #1) in a certificate that is valid now.
fn public_key(pem: &str, now: Moment) -> Result<Vec<u8>, Refusal> {
    let unreadable = Refusal::Certificate("it is not readable");
    let Ok((_, pem)) = parse_x509_pem(pem.as_bytes()) else {
        return Err(unreadable);
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&pem.contents) else {
        return Err(unreadable);
    };
    let at = ASN1Time::from_timestamp(now.0.div_euclid(1_000));
    if !at.is_ok_and(|at| certificate.validity().is_valid_at(at)) {
        return Err(Refusal::Certificate("it is not valid now"));
    }
    let key = &certificate.public_key().subject_public_key.data;
    Ok(key.to_vec())
}
