//! Creates and changes private channels of a Slack app (documentation of the vendor: conversations.create, .invite, .kick,
//! .setTopic and .archive, and users.conversations). Slack does not recognize a repeated creation. The technical name of
//! the channel contains a part of the id that the desk chose: if the name is taken, the desk looks for its own channel in
//! the list of its channels. The name for people is the topic of the channel.

use domain::attempt::Verdict;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Value, json};

use super::super::slack::blocks::{self, Buttons};
use super::super::slack::{
    is_id, is_word, known, limited, message_id, method_url, post, reason, unreadable,
};
use super::super::{Request, TIMEOUT};
use super::{Call, Change, Groups, Outcome, named};
use crate::http::{HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};

/// Maximum length of a topic, in characters.
const TOPIC_MAX: usize = 250;
/// Maximum number of people in one invitation.
const INVITED_MAX: usize = 100;
/// Number of channels on one page of the list.
const PAGE: &str = "200";
/// Maximum number of characters of a technical name that come from the number of the ticket. Slack allows 80 in all.
const TICKET_MAX: usize = 60;
/// Number of characters of a technical name that come from the id.
const ID_CHARACTERS: usize = 8;

/// The private channels of Slack apps.
#[derive(Clone, Copy, Debug)]
pub struct Slack;

impl Groups for Slack {
    fn check(&self, _account: &Defined) -> Result<(), String> {
        Ok(())
    }

    /// Slack removes one person with one request.
    fn batch(&self, change: &Change<'_>) -> usize {
        match change {
            Change::Remove(_) => 1,
            _ => INVITED_MAX,
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let mut body = json!({ "channel": call.chat });
        let topic = |name: &str| {
            let name = named(name, TOPIC_MAX);
            crate::inbound::slack::escaped(&name)
        };
        let method = match call.change {
            Change::Create { .. } => {
                body = json!({ "name": technical_name(call), "is_private": true });
                "conversations.create"
            }
            Change::Find { cursor } => return find(call, cursor),
            Change::Add(people) => {
                body["users"] = people.join(",").into();
                // Slack then invites the valid people, and names the others.
                body["force"] = true.into();
                "conversations.invite"
            }
            Change::Remove(people) => {
                body["user"] = people.first().copied().unwrap_or_default().into();
                "conversations.kick"
            }
            Change::Rename(name) | Change::Close { name, keeps: true } => {
                body["topic"] = topic(name).into();
                "conversations.setTopic"
            }
            Change::Close { keeps: false, .. } => "conversations.archive",
            Change::Send(content) => {
                body = blocks::message(content, None, Buttons::Links);
                body["channel"] = call.chat.into();
                body["parse"] = "none".into();
                body["link_names"] = false.into();
                body["unfurl_links"] = false.into();
                body["unfurl_media"] = false.into();
                "chat.postMessage"
            }
        };
        if !matches!(call.change, Change::Create { .. }) && !is_id(call.chat, "CG") {
            return Err("the id of the group is not valid".into());
        }
        let url = method_url(call.account, call.secret, method)?;
        match post(url, Some(call.secret), &body) {
            Request::Http(request) => Ok(request),
            Request::Mail(_) => Err("the channel sends no mails".into()),
        }
    }

    fn judge(&self, call: &Call<'_>, response: &HttpResponse) -> Outcome {
        if response.status == 429 {
            let reason = "Slack answered with HTTP status 429";
            return Outcome::Failed(limited(response, reason));
        }
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match (body["ok"].as_bool(), call.change) {
            (Some(true), Change::Create { .. }) if response.is_success() => created(&body),
            (Some(true), Change::Find { .. }) if response.is_success() => found(call, &body),
            (Some(true), _) if response.is_success() => Outcome::Done {
                message: message_id(&body),
                refused: refused(&body),
            },
            (Some(false), _) => failed(call, response, &body),
            _ => Outcome::Failed(unreadable(response)),
        }
    }
}

/// Returns the technical name of the channel: lower-case letters, digits and hyphens.
fn technical_name(call: &Call<'_>) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let ticket: String = call.ticket.chars().map(allowed).take(TICKET_MAX).collect();
    let id: String = call.id.chars().take(ID_CHARACTERS).collect();
    format!("{ticket}-{id}")
}

/// Returns the request for one page of the private channels of the app.
fn find(call: &Call<'_>, cursor: &str) -> Result<HttpRequest, String> {
    let url = method_url(call.account, call.secret, "users.conversations")?;
    let mut url: Url = url.parse().map_err(|_| "`url` is not a URL".to_owned())?;
    url.query_pairs_mut()
        .append_pair("types", "private_channel")
        .append_pair("exclude_archived", "true")
        .append_pair("limit", PAGE)
        .append_pair("cursor", cursor);
    let mut request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
    let bearer = format!("Bearer {}", call.secret);
    request.headers.push(("authorization".to_owned(), bearer));
    Ok(request)
}

fn created(body: &Value) -> Outcome {
    match body["channel"]["id"].as_str() {
        Some(chat) if is_id(chat, "CG") => Outcome::Created {
            chat: chat.to_owned(),
            is_named: false,
        },
        _ => Outcome::Failed(Verdict::Unknown {
            reason: "the response has no id of the channel".into(),
        }),
    }
}

fn found(call: &Call<'_>, body: &Value) -> Outcome {
    let name = technical_name(call);
    let channels = body["channels"].as_array().map(Vec::as_slice);
    let mut channels = channels.unwrap_or_default().iter();
    if let Some(channel) = channels.find(|one| one["name"] == name.as_str()) {
        return created(&json!({ "channel": channel }));
    }
    let next = body["response_metadata"]["next_cursor"].as_str();
    match next.unwrap_or_default() {
        "" => Outcome::Failed(Verdict::refused(
            FailureClass::Permanent,
            "name_taken",
            "another app has a channel with the name of the group",
        )),
        cursor => Outcome::Elsewhere {
            cursor: cursor.to_owned(),
        },
    }
}

/// Returns the people in the list of errors of an invitation, without those who are members already.
fn refused(body: &Value) -> Vec<String> {
    let errors = body["errors"].as_array().map(Vec::as_slice);
    let errors = errors.unwrap_or_default().iter();
    errors
        .filter(|one| one["error"] != "already_in_channel")
        .filter_map(|one| one["user"].as_str())
        .map(str::to_owned)
        .collect()
}

fn failed(call: &Call<'_>, response: &HttpResponse, body: &Value) -> Outcome {
    let word = body["error"].as_str().unwrap_or_default();
    let has_people = body["errors"]
        .as_array()
        .is_some_and(|errors| errors.iter().any(|one| one["user"].is_string()));
    match (call.change, word) {
        (Change::Create { .. }, "name_taken") => {
            return Outcome::Elsewhere {
                cursor: String::new(),
            };
        }
        (Change::Add(_), _) if has_people => {
            return Outcome::Done {
                message: String::new(),
                refused: refused(body),
            };
        }
        (Change::Add(_), "already_in_channel")
        | (Change::Remove(_), "not_in_channel")
        | (Change::Close { .. }, "already_archived") => return Outcome::done(),
        _ => {}
    }
    if !is_word(word) {
        let reason = "Slack refused the request without an error";
        let code = response.status.to_string();
        return Outcome::Failed(Verdict::refused(FailureClass::Permanent, code, reason));
    }
    let reason = reason(word, body);
    let verdict = match word {
        // A guest, or a person of another organization.
        "cant_invite"
        | "user_is_restricted"
        | "user_is_ultra_restricted"
        | "ura_max_channels"
        | "user_team_not_in_channel" => {
            Verdict::refused(FailureClass::RecipientInvalid, word, reason)
        }
        _ => known(word, &reason, response)
            .unwrap_or_else(|| Verdict::refused(FailureClass::Permanent, word, reason)),
    };
    Outcome::Failed(verdict)
}

#[cfg(test)]
pub(super) const CODES: &[(u16, &str, &str)] = &[
    (200, r#"{"ok":true}"#, "done"),
    (
        200,
        r#"{"ok":true,"errors":[{"user":"U01","ok":false,"error":"cant_invite"},{"user":"U02","error":"already_in_channel"}]}"#,
        "done without U01",
    ),
    (
        200,
        r#"{"ok":false,"error":"user_not_found","errors":[{"user":"U01","ok":false,"error":"user_not_found"}]}"#,
        "done without U01",
    ),
    (200, r#"{"ok":false,"error":"already_in_channel"}"#, "done"),
    (
        200,
        r#"{"ok":false,"error":"cant_invite"}"#,
        "recipient_invalid cant_invite",
    ),
    (
        200,
        r#"{"ok":false,"error":"user_not_found"}"#,
        "recipient_invalid user_not_found",
    ),
    (
        200,
        r#"{"ok":false,"error":"is_archived"}"#,
        "permanent is_archived",
    ),
    (
        200,
        r#"{"ok":false,"error":"missing_scope"}"#,
        "permanent missing_scope",
    ),
    (
        200,
        r#"{"ok":false,"error":"invalid_auth"}"#,
        "credential invalid_auth",
    ),
    (200, r#"{"ok":false,"error":"fatal_error"}"#, "unknown"),
    (
        200,
        r#"{"ok":false,"error":"ratelimited"}"#,
        "throttled 60000",
    ),
    (429, "", "throttled 60000"),
    (502, "<html>", "unknown"),
];
