//! Creates and changes scene groups of a DingTalk app (documentation of the vendor: 创建场景群, 添加场景群成员, 删除场景群成员,
//! 更新场景群, 解散场景群). A group is made from a template that an operator designs at DingTalk, and it has a person as owner.
//! DingTalk creates only one group for all requests with the same `uuid`. New apps cannot use the older interfaces below
//! `/topapi/im/chat/scenegroup`.

use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Value, json};

use super::super::dingtalk_app::{PARAMETERS_MAX, key, parameters};
use super::super::{dingtalk, text};
use super::{Call, Change, Groups, Outcome, named};
use crate::http::{HttpRequest, HttpResponse};

/// Maximum length of the name of a group, in characters.
const NAME_MAX: usize = 30;
/// Maximum number of people in one request.
const PEOPLE_MAX: usize = 100;
/// The codes for a person whom DingTalk does not know.
const UNKNOWN_PEOPLE: [&str; 2] = ["member.notFound", "staffId.notExisted"];

/// The scene groups of DingTalk apps.
#[derive(Clone, Copy, Debug)]
pub struct Dingtalk;

impl Groups for Dingtalk {
    fn check(&self, account: &Defined) -> Result<(), String> {
        for setting in ["group_template_id", "group_owner"] {
            if text(account, setting).is_empty() {
                return Err(format!("`{setting}` is required for chat groups"));
            }
        }
        Ok(())
    }

    fn owner<'a>(&self, account: &'a Defined) -> &'a str {
        text(account, "group_owner")
    }

    fn batch(&self, _change: &Change<'_>) -> usize {
        PEOPLE_MAX
    }

    fn request(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let account = call.account;
        let (path, body) = match call.change {
            Change::Create { name, .. } => {
                let body = json!({
                    "title": named(&dingtalk::plain(name), NAME_MAX),
                    "template_id": text(account, "group_template_id"),
                    "owner_user_id": self.owner(account),
                    "uuid": call.id,
                });
                ("/v1.0/im/sceneGroup/create", body)
            }
            Change::Find { .. } => return Err("the app needs no list of groups".into()),
            Change::Add(people) => {
                let body = json!({ "open_conversation_id": call.chat, "user_ids": people });
                ("/v1.0/im/sceneGroup/member/add", body)
            }
            Change::Remove(people) => {
                let body = json!({ "open_conversation_id": call.chat, "user_ids": people });
                ("/v1.0/im/sceneGroup/member/delete", body)
            }
            Change::Rename(name) | Change::Close { name, keeps: true } => {
                let title = named(&dingtalk::plain(name), NAME_MAX);
                let body = json!({ "open_conversation_id": call.chat, "title": title });
                ("/v1.0/im/sceneGroup/update", body)
            }
            Change::Close { keeps: false, .. } => {
                let body = json!({ "openConversationId": call.chat });
                ("/v1.0/im/chat/scenegroup/disband", body)
            }
            Change::Send(content) => {
                let make =
                    |content: &Content, is_cut: bool| parameters(content, is_cut).to_string();
                let body = json!({
                    "robotCode": text(account, "robot_code"),
                    "openConversationId": call.chat,
                    "msgKey": key(content),
                    // This member is a text that contains JSON.
                    "msgParam": dingtalk::fitted(content, PARAMETERS_MAX, make),
                });
                ("/v1.0/robot/groupMessages/send", body)
            }
        };
        Ok(dingtalk::new_post(
            account,
            path,
            call.token,
            body.to_string(),
        ))
    }

    fn judge(&self, call: &Call<'_>, response: &HttpResponse) -> Outcome {
        let body = match dingtalk::new_body(response) {
            Ok(body) => body,
            Err(verdict) => return Outcome::Failed(without_person(verdict)),
        };
        let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default();
        let unknown = |reason: &str| {
            Outcome::Failed(Verdict::Unknown {
                reason: reason.into(),
            })
        };
        match call.change {
            Change::Create { .. } => match text("open_conversation_id") {
                "" => unknown("the response has no `open_conversation_id`"),
                chat => Outcome::Created {
                    chat: chat.to_owned(),
                    is_named: true,
                },
            },
            Change::Send(_) => match text("processQueryKey") {
                "" => unknown("the response has no `processQueryKey`"),
                message => Outcome::Done {
                    message: message.to_owned(),
                    refused: Vec::new(),
                },
            },
            _ => match body.get("success").and_then(Value::as_bool) {
                Some(false) => {
                    let reason = "DingTalk reports no success and no code";
                    let class = FailureClass::Permanent;
                    Outcome::Failed(Verdict::refused(class, "success", reason))
                }
                _ => Outcome::done(),
            },
        }
    }
}

/// Returns the verdict with the class of a wrong recipient, if the code means an unknown person.
fn without_person(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Refused { code, reason, .. } if UNKNOWN_PEOPLE.contains(&code.as_str()) => {
            Verdict::refused(FailureClass::RecipientInvalid, code, reason)
        }
        verdict => verdict,
    }
}

#[cfg(test)]
pub(super) const CODES: &[(u16, &str, &str)] = &[
    (200, r#"{"success":true}"#, "done"),
    (200, r#"{"success":false}"#, "permanent success"),
    (
        400,
        r#"{"code":"member.notFound","message":"m"}"#,
        "recipient_invalid member.notFound",
    ),
    (
        400,
        r#"{"code":"groupTemplate.notFound","message":"m"}"#,
        "permanent groupTemplate.notFound",
    ),
    (
        400,
        r#"{"code":"permession.checkFailed","message":"m"}"#,
        "permanent permession.checkFailed",
    ),
    (
        400,
        r#"{"code":"InvalidAuthentication","message":"m"}"#,
        "credential InvalidAuthentication",
    ),
    (
        403,
        r#"{"code":"Forbidden.AccessDenied.QpsLimitForApi","message":"m"}"#,
        "throttled 60000",
    ),
    (500, r#"{"code":"system.error","message":"m"}"#, "unknown"),
    (503, "", "retry"),
];
