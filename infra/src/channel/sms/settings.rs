//! Reads and checks the settings of an account for short messages.

use std::collections::BTreeMap;

use events::channel_account::Defined;
use serde_json::Value;

use super::super::{check_url, only, text as setting};
use super::codes::{Codes, Meaning};
use super::price::Price;
use super::text::{filled, filled_value};

/// Number of segments of the longest message, if the account sets no other number.
pub(super) const SEGMENTS_DEFAULT: usize = 4;
/// The largest number of segments that an account can set. Twilio accepts 1,600 characters, which are ten segments with
/// GSM-7.
const SEGMENTS_MAX: usize = 10;
/// Maximum length of a sender that is a name, in characters (3GPP TS 23.040, section 9.1.2.5).
const NAME_MAX: usize = 11;

/// The API of a gateway, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Twilio,
    Template(Template),
    Custom(Custom),
}

/// The settings of a gateway that sends approved templates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    /// The variables of the template, with texts that contain placeholders.
    pub(super) params: BTreeMap<String, String>,
}

/// The settings of a custom gateway.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Custom {
    pub(super) method: String,
    pub(super) form: Form,
    pub(super) auth: Auth,
    pub(super) body: Value,
    pub(super) codes: Codes,
}

/// The format of the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Form,
}

/// The way in which a request proves the identity of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    None,
    Basic,
    Bearer,
    Hmac,
}

impl Shape {
    /// Reads the settings of an account. If a setting is invalid, returns an English text that names this setting.
    pub(super) fn read(account: &Defined) -> Result<Self, String> {
        match setting(account, "shape") {
            "twilio" => {
                let known = [
                    "shape",
                    "url",
                    "segments_max",
                    "segment_price",
                    "currency",
                    "from",
                    "status_callback",
                ];
                only(account, &known)?;
                check_url(account, "url")?;
                check_status_callback(account)?;
                segments_max(account)?;
                Price::read(account)?;
                if is_sender(setting(account, "from")) {
                    Ok(Self::Twilio)
                } else {
                    Err("`from` must be a phone number such as +15005550006, a short code, a name of at most 11 letters and digits, or the SID of a messaging service".into())
                }
            }
            "template" => {
                let known = ["shape", "url", "sign_name", "template_code", "params"];
                only(account, &known)?;
                check_url(account, "url")?;
                for key in ["sign_name", "template_code"] {
                    if setting(account, key).trim().is_empty() {
                        return Err(format!("`{key}` must be a text"));
                    }
                }
                let params = params(account)?;
                Ok(Self::Template(Template { params }))
            }
            "custom" => custom(account).map(Self::Custom),
            _ => Err("`shape` must be twilio, template or custom".into()),
        }
    }
}

/// Checks the address to which Twilio reports the fate of each message. It must be the one at which the desk receives the
/// messages of this account.
fn check_status_callback(account: &Defined) -> Result<(), String> {
    check_url(account, "status_callback")?;
    let path = format!("/callbacks/channels/twilio/{}", account.name);
    let is_given = account.settings.contains_key("status_callback");
    if is_given && !setting(account, "status_callback").ends_with(&path) {
        return Err(format!("`status_callback` must end with {path}"));
    }
    Ok(())
}

/// Returns the number of segments of the longest message of an account.
pub(super) fn segments_max(account: &Defined) -> Result<usize, String> {
    let Some(value) = account.settings.get("segments_max") else {
        return Ok(SEGMENTS_DEFAULT);
    };
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| (1..=SEGMENTS_MAX).contains(number))
        .ok_or_else(|| format!("`segments_max` must be a number from 1 to {SEGMENTS_MAX}"))
}

/// Returns true for the SID of a messaging service of Twilio, which chooses the sender itself.
pub(super) fn is_service(from: &str) -> bool {
    let digits = from.strip_prefix("MG").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_sender(from: &str) -> bool {
    let is_code = (5..=6).contains(&from.len()) && from.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = (1..=NAME_MAX).contains(&from.len())
        && from.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
        && from.chars().any(|c| c.is_ascii_alphabetic());
    super::is_e164(from) || is_code || is_name || is_service(from)
}

/// Returns values for a check of the placeholders in settings.
fn sample() -> BTreeMap<&'static str, String> {
    [
        "text", "link", "id", "to", "phone", "ticket", "subject", "closing",
    ]
    .map(|name| (name, name.to_owned()))
    .into()
}

fn params(account: &Defined) -> Result<BTreeMap<String, String>, String> {
    let mut sample = sample();
    // Providers refuse templates with URLs in values. The approved text contains the URL, for example with the ticket
    // number at its end.
    for name in ["text", "link", "id", "to", "phone"] {
        sample.remove(name);
    }
    let Some(Value::Object(members)) = account.settings.get("params") else {
        return Err("`params` must be a table with the variables of the template".into());
    };
    let mut params = BTreeMap::new();
    for (name, value) in members {
        let value = value.as_str().filter(|value| !value.contains("://"));
        let value = value.filter(|value| filled(value, &sample).is_ok());
        let value = value.ok_or_else(|| {
            format!("`params.{name}` must be a text without a URL; its placeholders can be ${{ticket}}, ${{subject}} and ${{closing}}")
        })?;
        params.insert(name.clone(), value.to_owned());
    }
    Ok(params)
}

fn custom(account: &Defined) -> Result<Custom, String> {
    let known = [
        "shape",
        "url",
        "segments_max",
        "segment_price",
        "currency",
        "method",
        "format",
        "body",
        "auth",
        "code_path",
        "message_path",
        "reason_path",
        "codes",
    ];
    only(account, &known)?;
    if setting(account, "url").is_empty() {
        return Err("`url` must be an HTTP address without ? and #".into());
    }
    check_url(account, "url")?;
    segments_max(account)?;
    Price::read(account)?;
    let method = choice(account, "method", &[("POST", "POST"), ("PUT", "PUT")])?;
    let form = choice(
        account,
        "format",
        &[("json", Form::Json), ("form", Form::Form)],
    )?;
    let auth = choice(
        account,
        "auth",
        &[
            ("none", Auth::None),
            ("basic", Auth::Basic),
            ("bearer", Auth::Bearer),
            ("hmac", Auth::Hmac),
        ],
    )?;
    Ok(Custom {
        method: method.to_owned(),
        form,
        auth,
        body: body(account, form)?,
        codes: codes(account)?,
    })
}

/// Returns the value of a setting that has one of the given names. The first one is the default.
fn choice<T: Copy>(account: &Defined, key: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = match account.settings.get(key) {
        None => choices.first(),
        Some(value) => choices.iter().find(|(name, _)| value == name),
    };
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("`{key}` must be one of {}", names.join(", "))
    })
}

fn body(account: &Defined, form: Form) -> Result<Value, String> {
    let body = account.settings.get("body");
    let Some((body, members)) = body.and_then(|body| Some((body, body.as_object()?))) else {
        return Err("`body` must be a table".into());
    };
    if form == Form::Form && !members.values().all(Value::is_string) {
        return Err("`body` must contain only texts, because `format` is form".into());
    }
    filled_value(body, &sample())
        .map_err(|name| format!("`body` must not contain the unknown placeholder {name:?}"))?;
    let template = body.to_string();
    if template.contains("${to}") || template.contains("${phone}") {
        Ok(body.clone())
    } else {
        Err("`body` must contain the placeholder ${to} or ${phone}".into())
    }
}

fn codes(account: &Defined) -> Result<Codes, String> {
    let pointer = |key: &str| match account.settings.get(key) {
        None => Ok(None),
        Some(Value::String(pointer)) if pointer.is_empty() || pointer.starts_with('/') => {
            Ok(Some(pointer.clone()))
        }
        Some(_) => Err(format!(
            "`{key}` must be a JSON pointer (RFC 6901) such as /data/code"
        )),
    };
    let code = pointer("code_path")?
        .ok_or("`code_path` must be a JSON pointer (RFC 6901) such as /data/code")?;
    let Some(Value::Object(members)) = account.settings.get("codes") else {
        return Err("`codes` must be a table from the codes of the gateway to meanings".into());
    };
    let mut table = Vec::new();
    for (code, meaning) in members {
        let meaning = Meaning::read(meaning.as_str().unwrap_or_default()).ok_or_else(|| {
            let names = Meaning::NAMES.map(|(name, _)| name);
            format!("`codes.{code}` must be one of {}", names.join(", "))
        })?;
        table.push((code.clone(), meaning));
    }
    if !table.iter().any(|(_, meaning)| *meaning == Meaning::Ok) {
        return Err("`codes` must contain a code with the meaning ok".into());
    }
    Ok(Codes {
        code: vec![code],
        message: pointer("message_path")?,
        reason: pointer("reason_path")?,
        table,
    })
}
