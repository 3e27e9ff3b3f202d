//! Verifies requests of Slack: slash commands, pressed buttons, direct messages, and messages that mention the app. The secret
//! is the signing secret of the app.

use events::Moment;
use ring::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::{
    Answer, Inbound, Message, Place, Refusal, ReplyTo, Request, Verified, check_hmac, check_time,
    field, form, from_hex, object, required, text,
};

/// Maximum difference between the signed time and the clock of the desk, in milliseconds. Slack defines five minutes.
const WINDOW_MS: i64 = 300_000;
/// The time for which Slack accepts answers to a message, in milliseconds.
const REPLY_MS: i64 = 1_800_000;

/// The codec for Slack.
pub struct Slack;

impl Inbound for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn address_kind(&self) -> &'static str {
        "slack"
    }

    fn reply_host(&self) -> Option<&'static str> {
        Some("hooks.slack.com")
    }

    fn reply(&self, text: &str) -> Value {
        let text = escaped(text);
        json!({ "response_type": "ephemeral", "replace_original": false, "text": text })
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let signature = request.header("x-slack-signature")?;
        let at = request.header("x-slack-request-timestamp")?;
        let signed = [b"v0:", at.as_bytes(), b":", request.body].concat();
        let digits = signature.strip_prefix("v0=").and_then(from_hex);
        check_hmac(HMAC_SHA256, secret.as_bytes(), &signed, digits)?;
        check_time(at, 1_000, WINDOW_MS, now)?;
        if request.body.starts_with(b"{") {
            return event(&Value::Object(request.json()?));
        }
        let form = form(request.body)?;
        match field(&form, "payload") {
            "" => command(&form, now),
            payload => button(&Value::Object(object(payload.as_bytes())?), now),
        }
    }
}

/// Returns a text in which Slack finds no mention and no link.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

/// Reads a message of a person: a direct message, or a message in a channel that mentions the app. Slack reports a message
/// with a mention also as an ordinary message of the channel, if the app subscribes to them. The desk ignores ordinary
/// messages of channels.
fn event(body: &Value) -> Result<Verified, Refusal> {
    if text(body, "/type") == "url_verification" {
        return Ok(Verified::Challenge(Answer::text(text(body, "/challenge"))));
    }
    let channel = text(body, "/event/channel");
    let is_direct = is_direct(body, channel);
    let is_to_desk = match text(body, "/event/type") {
        "app_mention" => true,
        "message" => is_direct,
        _ => false,
    };
    let is_of_person =
        body.pointer("/event/bot_id").is_none() && body.pointer("/event/subtype").is_none();
    if !is_to_desk || !is_of_person {
        return Ok(Verified::Nothing);
    }
    Ok(Verified::message(Message {
        others: Vec::new(),
        id: required(&event_id(body, channel), "event_id")?,
        user: required(text(body, "/event/user"), "event/user")?,
        group: if is_direct {
            String::new()
        } else {
            channel.to_owned()
        },
        text: unescaped(text(body, "/event/text")),
        value: None,
        reply: None,
        place: Some(Place {
            chat: channel.to_owned(),
            // The answer is in the thread of the message, if the message is in a thread.
            message: text(body, "/event/thread_ts").to_owned(),
            ..Place::default()
        }),
    }))
}

/// Returns whether a message was sent to the app alone.
fn is_direct(body: &Value, channel: &str) -> bool {
    match text(body, "/event/channel_type") {
        "" => channel.starts_with('D'),
        kind => kind == "im",
    }
}

/// Returns the id of a message. If a person edits a message with a mention, Slack reports it again with another `event_id`
/// (slackapi/bolt-js 960). The channel and the time stamp of a message never change.
fn event_id(body: &Value, channel: &str) -> String {
    match (channel, text(body, "/event/ts")) {
        ("", _) | (_, "") => text(body, "/event_id").to_owned(),
        (channel, ts) => format!("{channel}/{ts}"),
    }
}

/// Returns a text of a message without the escapes of Slack, see [`escaped`].
fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&")
}

fn command(form: &[(String, String)], now: Moment) -> Result<Verified, Refusal> {
    let channel = field(form, "channel_id");
    Ok(Verified::message(Message {
        others: Vec::new(),
        // A channel has an id that begins with C or G, and a direct message one that begins with D.
        group: if channel.starts_with(['C', 'G']) && channel.len() <= super::ID_BYTES_MAX {
            channel.to_owned()
        } else {
            String::new()
        },
        id: required(field(form, "trigger_id"), "trigger_id")?,
        user: required(field(form, "user_id"), "user_id")?,
        text: field(form, "text").to_owned(),
        value: None,
        reply: reply(field(form, "response_url"), now),
        place: None,
    }))
}

fn button(payload: &Value, now: Moment) -> Result<Verified, Refusal> {
    if text(payload, "/type") != "block_actions" {
        return Ok(Verified::Nothing);
    }
    let id = required(text(payload, "/trigger_id"), "trigger_id")?;
    let user = required(text(payload, "/user/id"), "user/id")?;
    let value = text(payload, "/actions/0/value");
    // Slack also reports the press of a button that opens a page. Such a button has no value, and its press does nothing.
    if value.is_empty() {
        return Ok(Verified::Nothing);
    }
    Ok(Verified::message(Message {
        others: Vec::new(),
        id,
        user,
        group: String::new(),
        text: String::new(),
        value: Some(required(value, "actions/0/value")?),
        reply: reply(text(payload, "/response_url"), now),
        place: None,
    }))
}

fn reply(url: &str, now: Moment) -> Option<ReplyTo> {
    (!url.is_empty()).then(|| ReplyTo {
        url: url.to_owned(),
        until: Some(now.plus_ms(REPLY_MS)),
    })
}
