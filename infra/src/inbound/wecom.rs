//! Verifies and decrypts messages of WeCom applications. The secret is a JSON object with `token`, `aes_key` and
//! `receive_id`. The receive id is the id of the company. It is empty for a smart bot.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use events::Moment;
use quick_xml::Reader;
use quick_xml::events::Event;
use ring::digest::SHA1_FOR_LEGACY_USE_ONLY;
use serde::Deserialize;

use super::{
    Answer, Inbound, Message, Place, Refusal, Request, Verified, WINDOW_MS, check_digest,
    check_time, cipher, field, from_base64, is_equal, required, unreadable,
};

/// The block size of the padding, in bytes.
const PADDED_TO: usize = 32;
/// Number of random bytes before the length of the message.
const RANDOM: usize = 16;
/// Maximum number of elements in the XML of a message. A message of WeCom has less than 30.
const ELEMENTS_MAX: usize = 500;
/// Reads the key of WeCom. Its last character has two bits that belong to no byte, and WeCom does not set them to zero.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);
/// The form of the secret, for messages to operators.
const FORM: &str = "a JSON object with `token`, `aes_key` (43 characters) and `receive_id`";

/// The codec for WeCom.
pub struct Wecom;

#[derive(Deserialize)]
struct Secret {
    token: String,
    aes_key: String,
    receive_id: String,
}

impl Inbound for Wecom {
    fn name(&self) -> &'static str {
        "wecom"
    }

    fn address_kind(&self) -> &'static str {
        "wecom"
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let secret: Secret = serde_json::from_str(secret).map_err(|_| Refusal::Secret(FORM))?;
        if request.is_get {
            let echo = request.parameter("echostr")?;
            let plain = opened(request, &secret, echo, now)?;
            let plain = String::from_utf8(plain).map_err(|_| Refusal::Sealed("its text"))?;
            return Ok(Verified::Challenge(Answer::text(plain)));
        }
        let envelope = elements(request.body).map_err(Refusal::before_check)?;
        let sealed = field(&envelope, "Encrypt");
        if sealed.is_empty() {
            return Err(Refusal::Missing("Encrypt"));
        }
        let plain = opened(request, &secret, sealed, now)?;
        message(&elements(&plain)?)
    }
}

/// Checks the signature and the time of a request, and decrypts its content.
fn opened(
    request: &Request<'_>,
    secret: &Secret,
    sealed: &str,
    now: Moment,
) -> Result<Vec<u8>, Refusal> {
    let (at, nonce) = (request.parameter("timestamp")?, request.parameter("nonce")?);
    let signature = request.parameter("msg_signature")?;
    let mut parts = [secret.token.as_str(), at, nonce, sealed];
    parts.sort_unstable();
    let parts = parts.map(str::as_bytes);
    check_digest(&SHA1_FOR_LEGACY_USE_ONLY, &parts, signature)?;
    check_time(at, 1_000, WINDOW_MS, now)?;
    let key = LENIENT.decode(format!("{}=", secret.aes_key));
    let key = key.ok().filter(|key| key.len() == 32);
    let key = key.ok_or(Refusal::Secret(FORM))?;
    let sealed = from_base64(sealed).ok_or(Refusal::Sealed("its Base64"))?;
    let plain = cipher::decrypt(&key, &key[..cipher::BLOCK], &sealed, PADDED_TO)?;
    content(&plain, &secret.receive_id)
}

/// Returns the message in a decrypted text: random bytes, the length in 4 bytes, the message, and the receive id.
fn content(plain: &[u8], receive_id: &str) -> Result<Vec<u8>, Refusal> {
    let short = Refusal::Sealed("its length field");
    let rest = plain.get(RANDOM..).ok_or_else(|| short.clone())?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| short.clone())?;
    let length = u32::from_be_bytes(*length) as usize;
    let (message, receiver) = rest.split_at_checked(length).ok_or(short)?;
    if !is_equal(receiver, receive_id.as_bytes()) {
        return Err(Refusal::Sealed("its receiver"));
    }
    Ok(message.to_vec())
}

fn message(elements: &[(String, String)]) -> Result<Verified, Refusal> {
    let of = |name| field(elements, name);
    let user = required(of("FromUserName"), "FromUserName")?;
    let (id, text, value, code) = match (of("MsgType"), of("Event")) {
        ("text", _) => (
            required(of("MsgId"), "MsgId")?,
            of("Content"),
            None,
            String::new(),
        ),
        ("event", "template_card_event") => {
            let response = required(of("ResponseCode"), "ResponseCode")?;
            let value = required(of("EventKey"), "EventKey")?;
            (response.clone(), "", Some(value), response)
        }
        _ => return Ok(Verified::Nothing),
    };
    Ok(Verified::message(Message {
        others: Vec::new(),
        group: String::new(),
        id,
        user,
        text: text.to_owned(),
        value,
        reply: None,
        // With the code, the application can change the card once within 72 hours.
        place: Some(Place {
            message: code,
            ..Place::default()
        }),
    }))
}

/// Returns the names and the texts of all elements without child elements. A document with a DTD or with another entity
/// than a character is refused.
fn elements(body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let body = std::str::from_utf8(body).map_err(|_| unreadable("the XML is not UTF-8"))?;
    let mut reader = Reader::from_str(body);
    let (mut found, mut open, mut value) = (Vec::new(), 0_usize, String::new());
    loop {
        let event = reader.read_event();
        match event.map_err(|_| unreadable("the body is not XML"))? {
            Event::Start(_) => {
                open += 1;
                value.clear();
            }
            Event::Text(text) => {
                value.push_str(
                    &text
                        .decode()
                        .map_err(|_| unreadable("the XML is not UTF-8"))?,
                );
            }
            Event::CData(text) => {
                value.push_str(
                    &text
                        .decode()
                        .map_err(|_| unreadable("the XML is not UTF-8"))?,
                );
            }
            Event::GeneralRef(reference) => value.push(character(&reference)?),
            Event::End(end) => {
                let name = String::from_utf8_lossy(end.name().as_ref()).into_owned();
                found.push((name, std::mem::take(&mut value).trim().to_owned()));
                open = open.saturating_sub(1);
            }
            Event::DocType(_) => return Err(unreadable("the XML must not have a DTD")),
            Event::Eof if open == 0 && !found.is_empty() => return Ok(found),
            Event::Eof => return Err(unreadable("the XML is not complete")),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        if found.len() > ELEMENTS_MAX {
            return Err(unreadable("the XML has too many elements"));
        }
    }
}

/// Returns the character of a reference such as `&amp;` or `&#20013;`.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, Refusal> {
    if let Ok(Some(found)) = reference.resolve_char_ref() {
        return Ok(found);
    }
    match &**reference {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        _ => Err(unreadable("the XML has an unknown entity")),
    }
}
