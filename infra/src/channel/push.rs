//! Contains what the channels for mobile push have in common: the visible text of a message, its maximum size, and
//! signed tokens (JSON Web Tokens, RFC 7519). The source is reference/notifications.md, section 1.7.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::attempt::Verdict;
use domain::notification::content::{Action, Content, one_line};
use events::delivery::FailureClass;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Value, json};

use super::cut;
use crate::http::HttpResponse;

/// Maximum size of the body of a push message, in bytes. The limit of FCM and of APNs is the same.
pub const PAYLOAD_BYTES_MAX: usize = 4_096;
/// Maximum size of the title of a push message, in bytes. The title contains the ticket number and the priority.
const TITLE_BYTES_MAX: usize = 90;
/// Maximum size of the visible text below the title, in bytes. The text is the subject of the message. 180 bytes are 60
/// Chinese characters.
const TEXT_BYTES_MAX: usize = 180;
/// Maximum size of a text that an operator wrote, in bytes. 800 bytes are 200 characters of four bytes.
const BODY_BYTES_MAX: usize = 800;
/// Maximum size of a code that comes from a provider, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// The labels of the priority in the values of a message, in Chinese and in English.
const PRIORITY: [&str; 2] = ["优先级", "Priority"];
/// The pause after a refusal because of too many requests, in milliseconds, if the provider states no pause.
pub(super) const PAUSE_MS: i64 = 60_000;

/// The text of a push message that a phone shows, even if the phone is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    pub title: String,
    pub text: String,
}

/// Returns the visible text of a push message: the ticket number, the priority and the subject. A locked phone also shows
/// this text, so the text contains no other values and not the name of the person (reference/notifications.md, section
/// 1.7). The app gets the link and shows the rest. If the message has a body, which an operator wrote for push messages,
/// the body replaces the subject.
pub fn visible(content: &Content) -> Visible {
    let mut values = content.values.iter();
    let priority = values.find(|(label, _)| PRIORITY.contains(&label.as_str()));
    let title = match priority {
        Some((_, priority)) => format!("{} · {}", content.thread, one_line(priority)),
        None => content.thread.clone(),
    };
    let text = if content.body.is_empty() {
        cut(&one_line(&content.subject), TEXT_BYTES_MAX)
    } else {
        cut(&one_line(&content.body.join(" ")), BODY_BYTES_MAX)
    };
    Visible {
        title: cut(&one_line(&title), TITLE_BYTES_MAX),
        text,
    }
}

/// Returns the actions of a message as JSON. Push services do not report the press of a button, so each action has the
/// page of the desk on which the person confirms the action.
pub(super) fn buttons(actions: &[Action]) -> Value {
    let button = |action: &Action| {
        json!({
            "name": action.name,
            "label": one_line(&action.label),
            "url": action.url,
        })
    };
    actions.iter().map(button).collect()
}

/// Returns the body that `render` creates with the largest number of actions that fits into [`PAYLOAD_BYTES_MAX`]. The
/// least usual actions are omitted first. Returns an English text if the body is too large without actions.
pub(super) fn fitted(
    actions: &[Action],
    render: impl Fn(&[Action]) -> Value,
) -> Result<Vec<u8>, String> {
    (0..=actions.len())
        .rev()
        .map(|count| render(&actions[..count]).to_string().into_bytes())
        .find(|body| body.len() <= PAYLOAD_BYTES_MAX)
        .ok_or_else(|| format!("the message has more than {PAYLOAD_BYTES_MAX} bytes"))
}

/// Returns the pause in milliseconds that the header `Retry-After` states in seconds. If the header contains a date, the
/// caller of the channel computes the pause, because a channel has no clock.
pub(super) fn pause_ms(response: &HttpResponse) -> Option<i64> {
    let seconds = response.header("retry-after")?.trim().parse::<u32>().ok()?;
    Some(i64::from(seconds) * 1_000)
}

/// Returns the verdict (the result of an attempt) that `provider` allows no message at this time. The provider states the
/// pause in the response. Otherwise, the pause is `default_ms`.
pub(super) fn throttled(response: &HttpResponse, default_ms: i64, reason: String) -> Verdict {
    Verdict::Throttled {
        reason: reason.into(),
        after_ms: pause_ms(response).unwrap_or(default_ms),
    }
}

/// Returns the verdict (the result of an attempt) for a temporary failure. The pause is the one that the provider states.
pub(super) fn retried(response: &HttpResponse, reason: String) -> Verdict {
    Verdict::Retry {
        reason: reason.into(),
        after_ms: pause_ms(response),
    }
}

/// Returns the verdict (the result of an attempt) for a response without a readable code. Such a response probably comes
/// from another server than the provider, such as a proxy. It is possible that this server has forwarded the message.
pub(super) fn unreadable(response: &HttpResponse, provider: &str) -> Verdict {
    let status = response.status;
    let reason = format!("{provider} answered with HTTP status {status} and no readable code");
    let refused = |class| Verdict::refused(class, status.to_string(), reason.as_str());
    match status {
        401 => refused(FailureClass::Credential),
        413 => refused(FailureClass::TooLarge),
        429 => throttled(response, PAUSE_MS, reason),
        503 => retried(response, reason),
        200..=299 | 500..=599 => Verdict::Unknown {
            reason: reason.into(),
        },
        _ => refused(FailureClass::Permanent),
    }
}

/// Returns a code of a provider in one short line.
pub(super) fn code(text: &str) -> String {
    cut(&one_line(text), CODE_BYTES_MAX)
}

/// The algorithm of a signature in a JSON Web Token (RFC 7518, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with PKCS #1 version 1.5 and SHA-256. Google uses it.
    Rs256,
    /// ECDSA with the curve P-256 and SHA-256. Apple uses it.
    Es256,
}

impl Algorithm {
    /// Returns the name of the algorithm in the header of a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A private key that signs JSON Web Tokens.
pub struct SigningKey(Pair);

enum Pair {
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// Reads a private key in PEM form (PKCS #8, RFC 5208). If the key is invalid, returns an English text that contains
    /// no part of the key.
    pub fn read(algorithm: Algorithm, pem: &str) -> Result<Self, String> {
        let name = algorithm.name();
        let wrong = || format!("`private_key` must be a key for {name} in PEM form (PKCS #8)");
        let der = der(pem).ok_or_else(wrong)?;
        let key = match algorithm {
            Algorithm::Rs256 => {
                RsaKeyPair::from_pkcs8(&der).map(|pair| Pair::Rs256(Box::new(pair)))
            }
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &der,
                &SystemRandom::new(),
            )
            .map(|pair| Pair::Es256(Box::new(pair))),
        };
        key.map(Self).map_err(|_| wrong())
    }

    /// Returns the public key: the structure `RSAPublicKey` of PKCS #1, or an uncompressed point of the curve.
    pub fn public(&self) -> Vec<u8> {
        match &self.0 {
            Pair::Rs256(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Es256(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Returns the modulus and the exponent of an RSA key in Base64 for URLs, as in a JSON Web Key (RFC 7518, section 6.3.1).
    /// Returns `None` for another key.
    pub fn components(&self) -> Option<(String, String)> {
        let Pair::Rs256(pair) = &self.0 else {
            return None;
        };
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        Some((
            URL_SAFE_NO_PAD.encode(parts.n),
            URL_SAFE_NO_PAD.encode(parts.e),
        ))
    }

    /// Returns a signed token. ES256 needs random numbers, so the signatures of two equal tokens differ.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.0 {
            Pair::Rs256(pair) => {
                let mut signature = vec![0_u8; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .map(|()| signature)
            }
            Pair::Es256(pair) => pair
                .sign(&random, text.as_bytes())
                .map(|signature| signature.as_ref().to_vec()),
        };
        let signature = signature.map_err(|_| "the private key cannot sign a token".to_owned())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Returns the bytes of a private key in PEM form.
fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, after) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = after.split_once("-----END PRIVATE KEY-----")?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// The content of a JSON Web Token.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
}

/// Returns the content of a JSON Web Token. Returns `None` if its signature does not belong to the public key, or if its
/// algorithm is another one. Imitations of providers use this function.
pub fn verified(token: &str, algorithm: Algorithm, public: &[u8]) -> Option<Jwt> {
    let (text, signature) = token.rsplit_once('.')?;
    let (header, claims) = text.split_once('.')?;
    let parsed = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let content = Jwt {
        header: parsed(header)?,
        claims: parsed(claims)?,
    };
    if content.header["alg"] != algorithm.name() {
        return None;
    }
    let key: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(key, public)
        .verify(text.as_bytes(), &signature)
        .ok()?;
    Some(content)
}

/// Returns a new private key for ES256 in PEM form (PKCS #8). Tests use such keys.
pub fn new_es256_key() -> String {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .expect("the machine has a source of randomness");
    pem(key.as_ref())
}

/// Returns the PEM form (RFC 7468) of a private key.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

/// Returns the PEM form of the RSA key of the tests. Its bytes are in Base64.
#[cfg(test)]
pub(crate) fn test_rsa_key() -> String {
    pem(&STANDARD.decode(tests::RSA_KEY).expect("Base64"))
}

#[cfg(test)]
mod tests {
    use super::super::contract::{content, shown};
    use super::*;

    /// A key that the Python package cryptography made for these tests. No account uses it.
    pub(super) const RSA_KEY: &str = "\
    MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQDN6V9DNDsASIKW2xi8ZUp5O/7VC5QCFIXH2xTWxohDVLrf\
    KCoaek4PCHQb8S8RxZtgAo5IHDuKkJzeSd5HtvwYGBqgsDjVcJmAOr44MH0ZJJEJmthFtxhRC5hNCxNAxVCBG3JukXxriBUe\
    9moHZBjpCxt2V0u7m9io86eSiSNxp46/HYoU+hpxO70URiCGiKbo5co137ZGB9giPSsJCqe0jZ3U5UflsQPClGPdCIJWK3ty\
    p0tnHAGFHouhvyi8kiM3+2BRUh8ulqYvLy2HN+1aSHN7UQUB1qv+notOiqXIivPzV5EISTYiG57CBdCUIwxkhxlfpHmtld1h\
    Sk5gDykFAgMBAAECggEAId0Rd6HtWhySrXCW3tThrJJ7VFo1Gyp43edfw/qeikQy/2RBmF0o3TwMrFO74/ZVmTKSZ7WM7Trf\
    MYeAcNbdGrFMH8Ubc66y7+25PtBqomnrGGNI0h5Md3eqsnDx16MbnEABT8HJbn3Qy2jHAzQpDJpxB8NPhykYNqDrnCPFmnki\
    XjNh3z7rHIUjOUQn60lWRptl51avn0CVT5v+Ycabh4+ZKs4kIFgy5cfuxGF2GgY1PF4bPQ+1M295HHIASnKiAL4bLzX7h4mO\
    2+r+/vE8sWQec+P+Y+UgsDw3UC8R48Z/SJ0IRS+ZuB40ql14CqctfWFnC7anVtmFhBYzocreOQKBgQDwRni4hR256n939qlv\
    DVExLK12gXNRx8bBg6LS3TBi0IoPOkJPLX7JoGszOU6bkZppkF6ktAdUbEpWpgU6zdkT7qWU3oTe2DikwfgIJt2k55wXPFVk\
    9x4g9zLEp9HLGui4EhfmhYFKhRiRHwceAXlaJnLbkFtMSAqNgXNSuwjdnwKBgQDbYy2IrPZOTEykKXSSUvIpZbkA71yxf7jV\
    P80UPu0Ak19dhcx31ENxDHqxs3HTfkz3aRGaamylzTvZHLcb9BGk8H/uwqDpjwOMV13vacDCF1nZa1dZW7oYy+yeNzh/BcrT\
    J3/3OZR/1UI3GCMTeoB1kQAKw4MPVpuAk1E3yPku2wKBgQDk7pBZZ2QCXz7io1+ekva4PtRr5D1nP0zN1smN1fgjPoU8qwrA\
    /B0gqTtazBBsw5d3W3oBvhJ5ytAtrPOwqq9ZgXm81SOOXD/kI3ha9AUc+RzNOsw2bgoD6OQzYZ7PwSzZLUwedTfSM+xLYV/b\
    pBXm4llvgCStErsTRrMFsXVqCwKBgQChieV9Pd4eyQ+l0OCE3Y5x7PTMO3OFPwZZ/yCCR9M7GUifFGX51dHS691r+zVVBSqn\
    AjZz/OkDLJtkwkAR1SUoze1lYOobD7MNI0eHgdbtE0SVUvR+V4wvtfgEh6SR4zH1SKBw6XTuq5iV+K/bJ9huuNXPFybppFvb\
    0J189f6FAQKBgQCZ/T/CVYiiF6qDvrBi9Sm/MJpFPEjmTX6ChMo9HrQdeTX07zs0CNcXIT+tyUeIzzPi94lQbT+OwDavjjHR\
    x8k6ip3qJMVGPHwH2JYeKCXsbYwWl5sTWh2m4qbc5n5OZEnuKNjz53U7BYzmPsKKXBx7yV7UyVHlqSfHavVPCZdSOg==";
    /// The public key of a token that the Python package PyJWT signed.
    const EC_PUBLIC: &str = "\
    BBnxtMulYmyUMWiB2pKf8x46OR/jYwx5f+hdHe61vu46blWWYDbV0WqsdQIi2IJkKa3ub/mePDK5pI23Ymvn1ys=";
    const EC_TOKEN: &str = "\
    eyJhbGciOiJFUzI1NiIsImtpZCI6IktFWTEyMzQ1NjciLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJURUFNMTIzNDU2IiwiaWF0I\
    joxNzY3MjI1NjAwfQ.SMS8tR5F5Ztc6zhRKnObwZQvIeh4d2_75mZKNSnQIuwbnS68Cnehff2YHliAewfHrQfn-\
    TBMAU9aYtKMSpA3kw";

    #[test]
    fn the_visible_text_has_number_subject_and_priority_only() {
        let visible = visible(&content());
        assert_eq!(visible.title, "REQ1 · 高");
        assert_eq!(visible.text, "请审批: 申请权限");
        let mut other = content();
        other.values = vec![("标题".into(), "secret".into())];
        assert_eq!(super::visible(&other).title, "REQ1");
    }

    #[test]
    fn a_body_replaces_the_subject() {
        let mut content = content();
        content.body = vec!["工单 REQ1".into(), "字".repeat(190)];
        let visible = visible(&content);
        assert_eq!(visible.title, "REQ1 · 高");
        assert_eq!(visible.text, format!("工单 REQ1 {}", "字".repeat(190)));
        content.body = vec!["😀".repeat(400)];
        assert!(super::visible(&content).text.len() <= BODY_BYTES_MAX);
    }

    #[test]
    fn long_and_invisible_text_is_cut_and_removed() {
        let mut content = content();
        content.subject = format!("a\r\nb\u{202e}{}", "字".repeat(200));
        content.values = vec![("Priority".into(), "x".repeat(300))];
        let visible = visible(&content);
        assert!(visible.text.starts_with("a b 字"), "{visible:?}");
        assert!(visible.text.ends_with('…'), "{visible:?}");
        assert!(visible.text.len() <= TEXT_BYTES_MAX);
        assert!(visible.title.len() <= TITLE_BYTES_MAX);
    }

    #[test]
    fn actions_that_do_not_fit_are_omitted_from_the_end() {
        let action = |number: usize| Action {
            name: format!("action{number}"),
            label: "批准".into(),
            is_primary: number == 0,
            url: format!("https://desk.example/{}", "x".repeat(1_000)),
            value: "v".into(),
        };
        let actions: Vec<Action> = (0..9).map(action).collect();
        let body = fitted(&actions, |actions| json!({ "a": buttons(actions) })).unwrap();
        assert!(body.len() <= PAYLOAD_BYTES_MAX);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let names: Vec<&str> = body["a"]
            .as_array()
            .unwrap()
            .iter()
            .map(|button| button["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["action0", "action1", "action2"]);
        let large = "x".repeat(PAYLOAD_BYTES_MAX);
        assert!(fitted(&[], |_| json!(large)).is_err());
    }

    #[test]
    fn a_response_without_a_code_has_the_verdict_of_its_status() {
        for (status, expected) in [
            (200, "unknown"),
            (301, "permanent 301"),
            (401, "credential 401"),
            (403, "permanent 403"),
            (413, "too_large 413"),
            (429, "throttled 60000"),
            (500, "unknown"),
            (503, "retry"),
            (504, "unknown"),
        ] {
            let verdict = unreadable(&HttpResponse::of(status, b"<html>"), "APNs");
            assert_eq!(shown(&verdict), expected, "{status}");
        }
    }

    #[test]
    fn the_pause_of_the_provider_is_used() {
        let response = |value: &str| HttpResponse {
            headers: vec![("retry-after".into(), value.into())],
            ..HttpResponse::of(429, b"")
        };
        let pause = |value: &str| shown(&unreadable(&response(value), "FCM"));
        assert_eq!(pause("7"), "throttled 7000");
        assert_eq!(pause("soon"), "throttled 60000");
        let busy = HttpResponse {
            status: 503,
            ..response("3")
        };
        assert_eq!(shown(&unreadable(&busy, "FCM")), "retry 3000");
    }

    #[test]
    fn a_token_of_another_program_is_verified() {
        let public = STANDARD.decode(EC_PUBLIC).unwrap();
        let token = verified(EC_TOKEN, Algorithm::Es256, &public).expect("a valid token");
        assert_eq!(token.header["kid"], "KEY1234567");
        assert_eq!(
            token.claims,
            json!({ "iss": "TEAM123456", "iat": 1_767_225_600 })
        );
        assert_eq!(verified(EC_TOKEN, Algorithm::Rs256, &public), None);
        let other = EC_TOKEN.replacen("eyJ", "eyK", 1);
        assert_eq!(verified(&other, Algorithm::Es256, &public), None);
        for token in ["", ".", "..", "a.b.c", "e30.e30.", "e30.e30.e30"] {
            assert_eq!(verified(token, Algorithm::Es256, &public), None, "{token}");
        }
    }

    #[test]
    fn a_signed_token_is_verified_with_its_public_key_only() {
        let keys = [
            (Algorithm::Es256, new_es256_key()),
            (Algorithm::Rs256, test_rsa_key()),
        ];
        for (algorithm, pem) in keys {
            let key = SigningKey::read(algorithm, &pem).unwrap();
            let header = json!({ "alg": algorithm.name(), "typ": "JWT" });
            let token = key.sign(&header, &json!({ "iat": 1 })).unwrap();
            let content = verified(&token, algorithm, &key.public()).expect("a valid token");
            assert_eq!(content.claims["iat"], 1);
            let mut public = key.public();
            let middle = public.len() / 2;
            public[middle] ^= 1;
            assert_eq!(verified(&token, algorithm, &public), None);
        }
    }

    #[test]
    fn a_wrong_key_is_rejected_without_its_text() {
        let (rsa, ec) = (test_rsa_key(), new_es256_key());
        for (algorithm, pem) in [
            (Algorithm::Rs256, ec.as_str()),
            (Algorithm::Es256, rsa.as_str()),
            (Algorithm::Es256, "c2VjcmV0"),
            (Algorithm::Es256, ""),
        ] {
            let reason = SigningKey::read(algorithm, pem).err().expect("an error");
            let expected = format!("`private_key` must be a key for {}", algorithm.name());
            assert!(reason.starts_with(&expected), "{reason}");
            assert!(!reason.contains("c2VjcmV0"), "{reason}");
        }
    }
}
