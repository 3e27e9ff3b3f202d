//! Creates and changes chat groups of an application of Feishu or Lark (documentation of the vendor: im-v1 chat create,
//! update and delete, and chat-members create and delete). The application owns its groups. Within 10 hours, Feishu creates
//! only one group for all requests with the same `uuid`. The deletion of a group also deletes its messages.

use domain::attempt::Verdict;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Value, json};

use super::super::feishu::{
    self, Answer, KINDS, KINDS_OF_PEOPLE, base, coded, json_request, kind, refusal, throttled,
};
use super::{Call, Change, Groups, Outcome, named};
use crate::http::{HttpRequest, HttpResponse};

/// Maximum length of the name of a group, in characters. Feishu allows 100, and recommends at most 60.
const NAME_MAX: usize = 60;
/// Maximum number of people in one request.
const PEOPLE_MAX: usize = 50;
/// Time in milliseconds within which Feishu creates only one group for the same `uuid`: 10 hours.
const RECOGNIZED_MS: i64 = 10 * 3_600_000;
/// Pause after the rate limit of one group, in milliseconds.
const WAIT_MS: i64 = 2_000;
/// The code for a group that does not exist any more.
const DISSOLVED: i64 = 232_009;

/// The chat groups of applications of Feishu.
#[derive(Clone, Copy, Debug)]
pub struct Feishu;

impl Groups for Feishu {
    /// The addresses of the members must be ids of people.
    fn check(&self, account: &Defined) -> Result<(), String> {
        let people = &KINDS[..KINDS_OF_PEOPLE];
        if people.contains(&kind(account)) {
            Ok(())
        } else {
            let known = people.join(", ");
            Err(format!(
                "`receive_id_type` must be one of {known} for chat groups"
            ))
        }
    }

    fn batch(&self, _change: &Change<'_>) -> usize {
        PEOPLE_MAX
    }

    fn recognizes_ms(&self) -> Option<i64> {
        Some(RECOGNIZED_MS)
    }

    fn repeats_messages(&self) -> bool {
        true
    }

    fn request(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let (account, token) = (call.account, call.token);
        if token.is_empty() {
            return Err("the access token is missing".into());
        }
        let (chats, kind) = (
            format!("{}/open-apis/im/v1/chats", base(account)),
            kind(account),
        );
        let members = || {
            let chat = chat_of(call)?;
            Ok::<_, String>(format!("{chats}/{chat}/members?member_id_type={kind}"))
        };
        Ok(match call.change {
            Change::Create { name, .. } => {
                let url = format!("{chats}?user_id_type={kind}&uuid={}", call.id);
                let body = json!({
                    "name": named(name, NAME_MAX),
                    "chat_mode": "group",
                    "chat_type": "private",
                });
                json_request("POST", url, token, &body)
            }
            Change::Find { .. } => return Err("the application needs no list of groups".into()),
            Change::Add(people) => {
                // With this type, Feishu adds the valid people and names the others.
                let url = format!("{}&succeed_type=1", members()?);
                json_request("POST", url, token, &json!({ "id_list": people }))
            }
            Change::Remove(people) => {
                json_request("DELETE", members()?, token, &json!({ "id_list": people }))
            }
            Change::Rename(name) | Change::Close { name, keeps: true } => {
                let url = format!("{chats}/{}", chat_of(call)?);
                let body = json!({ "name": named(name, NAME_MAX) });
                json_request("PUT", url, token, &body)
            }
            Change::Close { keeps: false, .. } => {
                let url = format!("{chats}/{}", chat_of(call)?);
                let mut request = json_request("DELETE", url, token, &Value::Null);
                request.body.clear();
                request
            }
            Change::Send(content) => {
                let url = format!(
                    "{}/open-apis/im/v1/messages?receive_id_type=chat_id",
                    base(account)
                );
                let body = json!({
                    "receive_id": chat_of(call)?,
                    "msg_type": "interactive",
                    "content": feishu::content(content),
                    "uuid": call.id,
                });
                json_request("POST", url, token, &body)
            }
        })
    }

    fn judge(&self, call: &Call<'_>, response: &HttpResponse) -> Outcome {
        let answer = match coded(response) {
            Ok(answer) => answer,
            Err(verdict) => return Outcome::Failed(verdict),
        };
        let data = &answer.body["data"];
        let text = |member: &str| data[member].as_str().unwrap_or_default().to_owned();
        match (answer.code, call.change) {
            (0, Change::Create { .. }) => match text("chat_id") {
                chat if chat.is_empty() => Outcome::Failed(Verdict::Unknown {
                    reason: "the response has no `chat_id`".into(),
                }),
                chat => Outcome::Created {
                    chat,
                    is_named: true,
                },
            },
            (0, _) => Outcome::Done {
                message: text("message_id"),
                refused: refused_of(data),
            },
            (DISSOLVED, Change::Close { .. }) => Outcome::done(),
            _ => Outcome::Failed(refused(response, &answer)),
        }
    }
}

/// Returns the id of the group. The id becomes a part of the path, so only the characters of an id are allowed.
fn chat_of<'a>(call: &Call<'a>) -> Result<&'a str, String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if call.chat.is_empty() || !call.chat.chars().all(is_id) {
        return Err("the id of the group is not valid".into());
    }
    Ok(call.chat)
}

/// Returns the people whom Feishu did not add. A person who waits for an approval of the owner is not a member either.
fn refused_of(data: &Value) -> Vec<String> {
    let lists = [
        "invalid_id_list",
        "not_existed_id_list",
        "pending_approval_id_list",
    ];
    let ids = lists
        .iter()
        .filter_map(|list| data[list].as_array())
        .flatten();
    ids.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the verdict for a code that is not 0.
fn refused(response: &HttpResponse, answer: &Answer) -> Verdict {
    let class = match answer.code {
        232_019 => return throttled(response, answer, WAIT_MS),
        DISSOLVED => FailureClass::Permanent,
        // A person who has left, is not visible for the application, or is unknown.
        232_022 | 232_024 | 232_027 | 232_030 | 232_043 => FailureClass::RecipientInvalid,
        // The application has no bot, or is not active for the organization.
        232_025 | 232_034 => FailureClass::Credential,
        _ => return refusal(response, answer),
    };
    Verdict::refused(class, answer.code.to_string(), answer.reason.as_str())
}

#[cfg(test)]
pub(super) const CODES: &[(u16, &str, &str)] = &[
    (200, r#"{"code":0,"msg":"success","data":{}}"#, "done"),
    (
        200,
        r#"{"code":0,"data":{"invalid_id_list":["ou_1"],"not_existed_id_list":["ou_2"]}}"#,
        "done without ou_1 ou_2",
    ),
    (400, r#"{"code":232019,"msg":"m"}"#, "throttled 2000"),
    (400, r#"{"code":232009,"msg":"m"}"#, "permanent 232009"),
    (
        400,
        r#"{"code":232030,"msg":"m"}"#,
        "recipient_invalid 232030",
    ),
    (400, r#"{"code":232025,"msg":"m"}"#, "credential 232025"),
    (400, r#"{"code":99991663,"msg":"m"}"#, "credential 99991663"),
    (400, r#"{"code":232001,"msg":"m"}"#, "permanent 232001"),
    (429, "", "throttled 10000"),
    (502, "<html>", "unknown"),
];
