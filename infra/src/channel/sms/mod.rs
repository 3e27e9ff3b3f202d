//! Sends short messages through a gateway (reference/notifications.md, section 1.8). The setting `shape` of an account
//! chooses the API of the gateway: `twilio`, `template` (the API of Alibaba Cloud, which sends approved templates) or
//! `custom`. For `custom`, the settings describe the request and the meaning of each code in the response.

mod codes;
mod price;
mod segments;
mod settings;
mod text;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::attempt::Verdict;
use domain::notification::content::Content;
use domain::placeholder::percent;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use jiff::Timestamp;
use ring::hmac;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::codes::Codes;
use self::price::Price;
pub use self::segments::{Encoding, Segments, segments};
use self::settings::{Auth, Custom, Form, Shape, Template};
use super::{Channel, Outgoing, Request, Response, TIMEOUT, of_http, text as setting};
use crate::http::{HttpRequest, RESPONSE_BYTES_MAX};

/// The default base URL of Twilio.
const TWILIO_URL: &str = "https://api.twilio.com";
/// The default URL of the service of Alibaba Cloud for short messages.
const TEMPLATE_URL: &str = "https://dysmsapi.aliyuncs.com";
/// Maximum number of characters in a value of a template.
const PARAM_MAX: usize = 35;
/// The country code of the mainland of China, and the length of its mobile numbers. The gateway of Alibaba Cloud expects
/// these numbers without the country code.
const MAINLAND: (&str, usize) = ("86", 11);

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json; charset=utf-8";

/// The channel that sends short messages.
#[derive(Clone, Copy, Debug)]
pub struct Sms;

/// The secret of an account. Each shape of a gateway, and each `auth` of a custom gateway, has its own form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Secret {
    Twilio(TwilioSecret),
    Template(TemplateSecret),
    Basic(BasicSecret),
    Bearer(BearerSecret),
    Hmac(HmacSecret),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TwilioSecret {
    account_sid: String,
    auth_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateSecret {
    access_key_id: String,
    access_key_secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicSecret {
    user: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BearerSecret {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HmacSecret {
    key: String,
}

impl Channel for Sms {
    fn name(&self) -> &'static str {
        "sms"
    }

    fn address_kind(&self) -> &'static str {
        "phone"
    }

    fn needs_secret(&self, account: &Defined) -> bool {
        !matches!(
            Shape::read(account),
            Ok(Shape::Custom(Custom {
                auth: Auth::None,
                ..
            }))
        )
    }

    /// Returns false. A short message goes to one phone.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        if is_e164(address) {
            Ok(())
        } else {
            Err("be a phone number with + and its country code, such as +8613800000000".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        Shape::read(account).map(drop)
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let request = match Shape::read(outgoing.account)? {
            Shape::Twilio => twilio(outgoing)?,
            Shape::Template(template) => with_template(outgoing, &template)?,
            Shape::Custom(custom) => with_custom(outgoing, &custom)?,
        };
        Ok(Request::Http(request))
    }

    /// Converts the response of Twilio or of Alibaba Cloud. The member `Code` exists only in the responses of Alibaba
    /// Cloud. The codes of a custom gateway are in its account, see `verdict_for`.
    fn verdict(&self, response: &Response) -> Verdict {
        let is_template = match response {
            Response::Http(Ok(response)) => serde_json::from_slice::<Value>(&response.body)
                .is_ok_and(|body| body.get("Code").is_some()),
            _ => false,
        };
        let codes = if is_template {
            Codes::template()
        } else {
            Codes::twilio()
        };
        judge(&codes, response)
    }

    fn verdict_for(&self, account: &Defined, _to: &str, response: &Response) -> Verdict {
        match Shape::read(account) {
            Ok(Shape::Twilio) => judge(&Codes::twilio(), response),
            Ok(Shape::Template(_)) => judge(&Codes::template(), response),
            Ok(Shape::Custom(custom)) => judge(&custom.codes, response),
            // The account was correct when the request was sent, so its settings changed.
            Err(reason) => Verdict::Unknown {
                reason: reason.into(),
            },
        }
    }
}

/// The text of a short message as a gateway would send it, with its size and its cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizedText {
    pub text: String,
    pub size: Segments,
    /// The largest number of segments. Links to actions are added as long as the message is not larger.
    pub segments_max: usize,
    /// The cost of the text. `None` if the account has no price.
    pub cost: Option<Cost>,
}

/// The cost of a short message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The cost of this text as a decimal text, such as `0.09`.
    pub text: String,
    /// The cost of a message with the largest number of segments.
    pub most: String,
    /// The code of the currency (ISO 4217).
    pub currency: String,
}

/// Returns the text that an account would send. `None` as `account` is an account with the default settings and without a
/// price. Returns an English text if the settings are invalid, or if the gateway sends approved templates: the desk does
/// not know their text.
pub fn sized(account: Option<&Defined>, content: &Content) -> Result<SizedText, String> {
    let (segments_max, price) = match account {
        None => (settings::SEGMENTS_DEFAULT, None),
        Some(account) => {
            if matches!(Shape::read(account)?, Shape::Template(_)) {
                return Err("the gateway of the account sends approved templates, whose text the desk does not know".into());
            }
            (settings::segments_max(account)?, Price::read(account)?)
        }
    };
    let text = text::text(content, segments_max);
    let size = segments(&text);
    Ok(SizedText {
        text,
        size,
        segments_max,
        cost: price.map(|price| Cost {
            text: price.of(size.segments),
            most: price.of(segments_max),
            currency: price.currency,
        }),
    })
}

/// Returns the class of the failure that a report of Twilio names. `code` is the code of the error, or the status of the
/// message if the report has no code.
pub fn class_of_report(code: &str) -> FailureClass {
    Codes::twilio().class_of_report(code)
}

/// Returns the text of a short message with at most `most` segments. Other channels that send short messages also use it.
pub(super) fn short_text(content: &Content, most: usize) -> String {
    text::text(content, most)
}

fn judge(codes: &Codes, response: &Response) -> Verdict {
    of_http(response, |response| codes.judge(response))
}

/// Returns true for a phone number in the form of ITU-T E.164: a plus sign and 8 to 15 digits, the first of which is not 0.
fn is_e164(address: &str) -> bool {
    let digits = address.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

fn read(secret: &str) -> Result<Secret, String> {
    let usable = |texts: [&String; 2]| {
        texts
            .iter()
            .all(|text| !text.is_empty() && !text.chars().any(char::is_control))
    };
    let read: Option<Secret> = serde_json::from_str(secret).ok();
    let read = read.filter(|secret| match secret {
        Secret::Twilio(TwilioSecret {
            account_sid,
            auth_token,
        }) => {
            // The account SID is part of the URL.
            account_sid.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && usable([account_sid, auth_token])
        }
        Secret::Template(secret) => usable([&secret.access_key_id, &secret.access_key_secret]),
        Secret::Basic(secret) => usable([&secret.user, &secret.password]),
        Secret::Bearer(secret) => usable([&secret.token; 2]),
        Secret::Hmac(secret) => usable([&secret.key; 2]),
    });
    read.ok_or_else(|| {
        concat!(
            r#"the secret must be JSON on one line: {"account_sid": "AC...", "auth_token": "..."} for twilio, "#,
            r#"{"access_key_id": "...", "access_key_secret": "..."} for template, and {"user": "...", "password": "..."}, "#,
            r#"{"token": "..."} or {"key": "..."} for custom"#
        )
        .to_owned()
    })
}

/// Returns the error for a secret that belongs to another shape or another `auth`.
fn other_secret<T>(outgoing: &Outgoing<'_>, members: &str) -> Result<T, String> {
    Err(format!(
        "the secret channel/{} must have the members {members}",
        outgoing.account.name
    ))
}

fn post(url: String, content_type: &str, body: String) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url,
        headers: vec![("content-type".into(), content_type.into())],
        body: body.into_bytes(),
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    }
}

fn basic(user: &str, password: &str) -> (String, String) {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    ("authorization".into(), format!("Basic {credentials}"))
}

fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{}={}", percent(name), percent(value)))
        .collect();
    pairs.join("&")
}

fn url<'a>(account: &'a Defined, default: &'a str) -> &'a str {
    match setting(account, "url") {
        "" => default,
        url => url.trim_end_matches('/'),
    }
}

fn twilio(outgoing: &Outgoing<'_>) -> Result<HttpRequest, String> {
    let Secret::Twilio(secret) = read(outgoing.secret)? else {
        return other_secret(outgoing, "account_sid and auth_token");
    };
    let most = settings::segments_max(outgoing.account)?;
    let body = text::text(outgoing.content, most);
    let from = setting(outgoing.account, "from");
    let sender = if settings::is_service(from) {
        "MessagingServiceSid"
    } else {
        "From"
    };
    let url = format!(
        "{}/2010-04-01/Accounts/{}/Messages.json",
        url(outgoing.account, TWILIO_URL),
        secret.account_sid
    );
    let mut pairs = vec![("To", outgoing.to), (sender, from), ("Body", body.as_str())];
    let callback = setting(outgoing.account, "status_callback");
    let callback = format!("{callback}?delivery={}&tag={}", outgoing.id, outgoing.tag);
    // Without a tag, the desk would believe no report about this message.
    if !callback.starts_with('?') && !outgoing.tag.is_empty() {
        pairs.push(("StatusCallback", callback.as_str()));
    }
    let mut request = post(url, FORM, form(pairs));
    request
        .headers
        .push(basic(&secret.account_sid, &secret.auth_token));
    Ok(request)
}

fn with_template(outgoing: &Outgoing<'_>, template: &Template) -> Result<HttpRequest, String> {
    let Secret::Template(secret) = read(outgoing.secret)? else {
        return other_secret(outgoing, "access_key_id and access_key_secret");
    };
    let values = text::values(outgoing.content, outgoing.to, outgoing.id, 1);
    let mut params = Map::new();
    for (name, value) in &template.params {
        let value = text::filled(value, &values)?;
        params.insert(name.clone(), short(&value).into());
    }
    let params = Value::Object(params).to_string();
    let time = Timestamp::from_millisecond(outgoing.now.0).unwrap_or_default();
    let time = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let nonce = format!("{}-{}", outgoing.id, outgoing.now.0);
    let phone = national(outgoing.to);
    let mut pairs = vec![
        ("AccessKeyId", secret.access_key_id.as_str()),
        ("Action", "SendSms"),
        ("Format", "JSON"),
        ("OutId", outgoing.id),
        ("PhoneNumbers", phone),
        ("RegionId", "cn-hangzhou"),
        ("SignName", setting(outgoing.account, "sign_name")),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", nonce.as_str()),
        ("SignatureVersion", "1.0"),
        ("TemplateCode", setting(outgoing.account, "template_code")),
        ("TemplateParam", params.as_str()),
        ("Timestamp", time.as_str()),
        ("Version", "2017-05-25"),
    ];
    let signature = sign("POST", &pairs, &secret.access_key_secret);
    pairs.push(("Signature", signature.as_str()));
    let url = format!("{}/", url(outgoing.account, TEMPLATE_URL));
    Ok(post(url, FORM, form(pairs)))
}

/// Returns the text that a request to an RPC API of Alibaba Cloud signs: the method and the sorted parameters. The parameter
/// `Signature` is not part of the text.
pub fn signed_text(method: &str, pairs: &[(&str, &str)]) -> String {
    let mut sorted: Vec<(&str, &str)> = pairs.to_vec();
    sorted.retain(|(name, _)| *name != "Signature");
    sorted.sort_unstable();
    format!("{method}&%2F&{}", percent(&form(sorted)))
}

/// Returns the signature of a request to an RPC API of Alibaba Cloud, in Base64. The signature is an HMAC with SHA-1 of
/// [`signed_text`]. The key is `secret` and the sign `&`.
pub fn sign(method: &str, pairs: &[(&str, &str)], secret: &str) -> String {
    let key = format!("{secret}&");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    let text = signed_text(method, pairs);
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

/// Returns a phone number in the form that Alibaba Cloud expects.
fn national(to: &str) -> &str {
    let digits = to.trim_start_matches('+');
    let (country, length) = MAINLAND;
    match digits.strip_prefix(country) {
        Some(rest) if rest.len() == length => rest,
        _ => digits,
    }
}

/// Returns the beginning of a value of a template. A value that is cut ends with an ellipsis.
fn short(value: &str) -> String {
    if value.chars().count() <= PARAM_MAX {
        return value.to_owned();
    }
    let mut part: String = value.chars().take(PARAM_MAX - 1).collect();
    part.push('…');
    part
}

fn with_custom(outgoing: &Outgoing<'_>, custom: &Custom) -> Result<HttpRequest, String> {
    let most = settings::segments_max(outgoing.account)?;
    let values = text::values(outgoing.content, outgoing.to, outgoing.id, most);
    let body = text::filled_value(&custom.body, &values)?;
    let (content_type, body) = match custom.form {
        Form::Json => (JSON, body.to_string()),
        Form::Form => {
            let members = body.as_object().into_iter().flatten();
            let pairs =
                members.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
            (FORM, form(pairs))
        }
    };
    let mut request = post(url(outgoing.account, "").to_owned(), content_type, body);
    request.method.clone_from(&custom.method);
    let headers = match custom.auth {
        Auth::None => Vec::new(),
        Auth::Basic => match read(outgoing.secret)? {
            Secret::Basic(secret) => vec![basic(&secret.user, &secret.password)],
            _ => return other_secret(outgoing, "user and password"),
        },
        Auth::Bearer => match read(outgoing.secret)? {
            Secret::Bearer(secret) => {
                vec![("authorization".into(), format!("Bearer {}", secret.token))]
            }
            _ => return other_secret(outgoing, "token"),
        },
        Auth::Hmac => match read(outgoing.secret)? {
            Secret::Hmac(secret) => signed(&secret.key, outgoing.now, &request.body),
            _ => return other_secret(outgoing, "key"),
        },
    };
    request.headers.extend(headers);
    Ok(request)
}

/// Returns the headers of a signed request: the time in seconds, and an HMAC with SHA-256 in hexadecimal digits. The signed
/// bytes are the time, a dot and the body.
fn signed(key: &str, now: Moment, body: &[u8]) -> Vec<(String, String)> {
    let time = (now.0 / 1000).to_string();
    let signature = body_signature(key, &time, body);
    vec![
        ("x-timestamp".into(), time),
        ("x-signature".into(), signature),
    ]
}

/// Returns the signature of a body for a custom gateway with `auth = "hmac"`. `time` is the text of the header
/// `x-timestamp`.
pub fn body_signature(key: &str, time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    crate::commit::hex(hmac::sign(&key, &signed).as_ref())
}

#[cfg(test)]
pub(super) mod tests;
