//! Verifies and decrypts events of Feishu applications. The secret is a JSON object with `encrypt_key` and
//! `verification_token`.

mod written;

use events::Moment;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Inbound, Message, Place, Refusal, Request, Verified, WINDOW_MS, check_digest,
    check_time, cipher, from_base64, is_equal, object, required, text,
};

/// The form of the secret, for messages to operators.
const FORM: &str = "a JSON object with `encrypt_key` and `verification_token`";

/// The answer to content that cannot be decrypted, or that is not an event after it was decrypted.
const NO_EVENT: Refusal = Refusal::Sealed("it is not an event of Feishu");

/// The codec for Feishu.
pub struct Feishu;

#[derive(Deserialize)]
struct Secret {
    encrypt_key: String,
    verification_token: String,
}

impl Inbound for Feishu {
    fn name(&self) -> &'static str {
        "feishu"
    }

    fn address_kind(&self) -> &'static str {
        "feishu"
    }

    /// Returns a toast (a short text that disappears again) after the press of a button.
    fn stored(&self, message: Option<&Message>) -> Answer {
        if message.is_none_or(|message| message.value.is_none()) {
            return Answer::json(&json!({}));
        }
        let (chinese, english) = ("已收到，正在处理。", "Received.");
        Answer::json(&json!({ "toast": {
            "type": "info",
            "content": chinese,
            "i18n": { "zh_cn": chinese, "en_us": english },
        } }))
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let secret: Secret = serde_json::from_str(secret)
            .ok()
            .filter(|secret: &Secret| {
                !secret.encrypt_key.is_empty() && !secret.verification_token.is_empty()
            })
            .ok_or(Refusal::Secret(FORM))?;
        let outer = Value::Object(request.json().map_err(Refusal::before_check)?);
        let sealed = text(&outer, "/encrypt");
        let body = if sealed.is_empty() {
            outer
        } else {
            // The content is decrypted before the signature is checked. All errors give the same answer, so that a
            // stranger learns nothing about the content (a padding oracle).
            let plain = decrypted(&secret.encrypt_key, sealed).map_err(|_| NO_EVENT)?;
            Value::Object(object(&plain).map_err(|_| NO_EVENT)?)
        };
        let token = match text(&body, "/header/token") {
            "" => text(&body, "/token"),
            token => token,
        };
        if !is_equal(token.as_bytes(), secret.verification_token.as_bytes()) {
            return Err(Refusal::Token);
        }
        // Feishu does not sign the test of the address. It contains nothing but a random text.
        if text(&body, "/type") == "url_verification" {
            let challenge = required(text(&body, "/challenge"), "challenge")?;
            let answer = Answer::json(&json!({ "challenge": challenge }));
            return Ok(Verified::Challenge(answer));
        }
        let at = request.header("x-lark-request-timestamp")?;
        let nonce = request.header("x-lark-request-nonce")?;
        let signature = request.header("x-lark-signature")?;
        let key = secret.encrypt_key.as_bytes();
        let parts = [at.as_bytes(), nonce.as_bytes(), key, request.body];
        check_digest(&SHA256, &parts, signature)?;
        check_time(at, 1_000, WINDOW_MS, now)?;
        message(&body)
    }
}

/// Decrypts the member `encrypt` of a body: the first 16 bytes are the initialization vector.
pub(super) fn decrypted(key: &str, sealed: &str) -> Result<Vec<u8>, Refusal> {
    let sealed = from_base64(sealed).ok_or(Refusal::Sealed("its Base64"))?;
    let key = digest(&SHA256, key.as_bytes());
    let parts = sealed.split_at_checked(cipher::BLOCK);
    let (iv, sealed) = parts.ok_or(Refusal::Sealed("its length"))?;
    cipher::decrypt(key.as_ref(), iv, sealed, cipher::BLOCK)
}

fn message(body: &Value) -> Result<Verified, Refusal> {
    let mut group = "";
    let (sender, said, value, at) = match text(body, "/header/event_type") {
        "im.message.receive_v1" => {
            let of_message = body.pointer("/event/message").unwrap_or(&Value::Null);
            group = written::group(of_message);
            let is_of_person = matches!(text(body, "/event/sender/sender_type"), "" | "user");
            if !is_of_person || !group.is_empty() && !written::mentions_bot(of_message) {
                return Ok(Verified::Nothing);
            }
            let said = written::text_of(of_message)?;
            let at = text(of_message, "/message_id");
            ("/event/sender/sender_id", said, None, at)
        }
        "card.action.trigger" => {
            let value = match text(body, "/event/action/value") {
                "" => text(body, "/event/action/value/value"),
                value => value,
            };
            let value = required(value, "event/action/value")?;
            let at = text(body, "/event/context/open_message_id");
            ("/event/operator", String::new(), Some(value), at)
        }
        _ => return Ok(Verified::Nothing),
    };
    let of_sender = |member: &str| text(body, &format!("{sender}/{member}"));
    // An application without a right to the ids of the organization gets only the `open_id`.
    let others = ["user_id", "union_id"].map(of_sender).into_iter();
    Ok(Verified::message(Message {
        id: required(text(body, "/header/event_id"), "header/event_id")?,
        user: required(of_sender("open_id"), "open_id")?,
        others: others
            .filter(|id| !id.is_empty() && id.len() <= super::ID_BYTES_MAX)
            .map(str::to_owned)
            .collect(),
        group: group.to_owned(),
        text: said,
        value,
        reply: None,
        place: (!at.is_empty()).then(|| Place {
            message: at.to_owned(),
            ..Place::default()
        }),
    }))
}
