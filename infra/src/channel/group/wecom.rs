//! Creates and changes chat groups of an application of WeCom (documentation of the vendor: 创建群聊会话, path 90245;
//! 修改群聊会话, path 98913; 应用推送消息, path 90248). The desk chooses the id of a group, so a repeated creation is refused
//! with the code 86215 and creates no second group. WeCom has no interface that deletes a group.

use domain::attempt::Verdict;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::json;

use super::super::text;
use super::super::wechat::{self, Answer, plain};
use super::super::wecom_app::{failure, interface, linked};
use super::{Call, Change, Groups, Outcome, named};
use crate::http::{HttpRequest, HttpResponse};

/// Maximum length of the name of a group, in characters.
const NAME_MAX: usize = 50;
/// Smallest number of members of a group.
const PEOPLE_MIN: usize = 2;
/// Maximum number of people in one request. A group has at most 2,000 members.
const PEOPLE_MAX: usize = 500;
/// The code for a group whose id exists already.
const EXISTS: i64 = 86_215;

/// The chat groups of applications of WeCom.
#[derive(Clone, Copy, Debug)]
pub struct Wecom;

impl Groups for Wecom {
    fn check(&self, _account: &Defined) -> Result<(), String> {
        Ok(())
    }

    fn owner<'a>(&self, account: &'a Defined) -> &'a str {
        text(account, "group_owner")
    }

    fn creates_with_people(&self) -> bool {
        true
    }

    fn people_min(&self) -> usize {
        PEOPLE_MIN
    }

    fn batch(&self, _change: &Change<'_>) -> usize {
        PEOPLE_MAX
    }

    fn request(&self, call: &Call<'_>) -> Result<HttpRequest, String> {
        let mut body = json!({ "chatid": call.chat });
        let path = match call.change {
            Change::Create { name, people } => {
                let owner = self.owner(call.account);
                let mut all: Vec<&str> = people.to_vec();
                if !owner.is_empty() {
                    body["owner"] = owner.into();
                    if !all.contains(&owner) {
                        all.push(owner);
                    }
                }
                body["chatid"] = call.id.into();
                body["name"] = named(&plain(name), NAME_MAX).into();
                body["userlist"] = json!(all);
                "appchat/create"
            }
            Change::Find { .. } => return Err("WeCom has no list of groups".into()),
            Change::Add(people) => {
                body["add_user_list"] = json!(people);
                "appchat/update"
            }
            Change::Remove(people) => {
                body["del_user_list"] = json!(people);
                "appchat/update"
            }
            Change::Rename(name) | Change::Close { name, .. } => {
                body["name"] = named(&plain(name), NAME_MAX).into();
                "appchat/update"
            }
            Change::Send(content) => {
                body["msgtype"] = "textcard".into();
                body["textcard"] = linked(content, call.id);
                body["safe"] = 0.into();
                "appchat/send"
            }
        };
        interface(call.account, call.token, path, &body)
    }

    fn judge(&self, call: &Call<'_>, response: &HttpResponse) -> Outcome {
        let is_message = matches!(call.change, Change::Send(_));
        let answer = match wechat::answer(response, !is_message) {
            Ok(answer) => answer,
            Err(verdict) => return Outcome::Failed(verdict),
        };
        match (answer.code, call.change) {
            (0 | EXISTS, Change::Create { .. }) => Outcome::Created {
                chat: call.id.to_owned(),
                // The members and the name are those of the first attempt.
                is_named: true,
            },
            (0, _) => Outcome::done(),
            _ => Outcome::Failed(refused(&answer)),
        }
    }
}

/// Returns the verdict for a code that is not 0. The codes 40031 and 86007 mean an unknown person.
fn refused(answer: &Answer) -> Verdict {
    match answer.code {
        40_031 | 86_007 => answer.refused(FailureClass::RecipientInvalid),
        _ => failure(answer),
    }
}

#[cfg(test)]
pub(super) const CODES: &[(u16, &str, &str)] = &[
    (200, r#"{"errcode":0,"errmsg":"ok"}"#, "done"),
    (200, r#"{"errcode":-1}"#, "retry"),
    (200, r#"{"errcode":45009}"#, "throttled 60000"),
    (200, r#"{"errcode":40014}"#, "credential 40014"),
    (200, r#"{"errcode":40031}"#, "recipient_invalid 40031"),
    (200, r#"{"errcode":60111}"#, "recipient_invalid 60111"),
    (200, r#"{"errcode":86007}"#, "recipient_invalid 86007"),
    (200, r#"{"errcode":86003}"#, "permanent 86003"),
    (200, r#"{"errcode":86215}"#, "permanent 86215"),
    (200, r#"{"errcode":60011}"#, "permanent 60011"),
    (502, "<html>", "retry"),
    (200, "<html>", "unknown"),
];
