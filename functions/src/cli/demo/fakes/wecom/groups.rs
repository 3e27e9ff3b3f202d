//! Imitates the groups of an application of WeCom (documentation of the vendor: 创建群聊会话, 修改群聊会话, 获取群聊会话,
//! 应用推送消息). The caller of [`Groups::respond`] has checked the access token.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{KEPT_MAX, Refusal, message};

pub const CREATE: &str = "/cgi-bin/appchat/create";
pub const UPDATE: &str = "/cgi-bin/appchat/update";
pub const GET: &str = "/cgi-bin/appchat/get";
pub const SEND: &str = "/cgi-bin/appchat/send";

/// Smallest and largest number of members at the creation.
const MEMBERS: std::ops::RangeInclusive<usize> = 2..=2_000;
/// Maximum length of the id of a group, in characters.
const ID_MAX: usize = 32;
/// Maximum length of the name of a group, in characters. A longer name is cut.
const NAME_MAX: usize = 50;

/// A group of the imitation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub name: String,
    pub owner: String,
    /// The user ids of the members, in lower case, in the order in which they joined.
    pub members: Vec<String>,
    pub messages: Vec<Value>,
}

/// All groups of the imitated application, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    all: BTreeMap<String, Group>,
    /// Number of requests to create a group that were accepted.
    created: usize,
}

impl Groups {
    /// Returns the groups by their ids.
    pub fn all(&self) -> &BTreeMap<String, Group> {
        &self.all
    }

    /// Returns the response to a request. `chat` is the parameter `chatid` of the URL, and `known` the user ids of the
    /// members of the company.
    pub(super) fn respond(
        &mut self,
        path: &str,
        chat: &str,
        body: &[u8],
        known: &[String],
    ) -> Result<Value, Refusal> {
        match path {
            GET => self.get(chat),
            CREATE => self.create(&message(body)?, known),
            UPDATE => self.update(&message(body)?, known),
            _ => self.send(&message(body)?),
        }
    }

    fn create(&mut self, body: &Value, known: &[String]) -> Result<Value, Refusal> {
        let members = people(&body["userlist"], known)?;
        if !MEMBERS.contains(&members.len()) {
            return Err((86_006, "invalid userlist size"));
        }
        let owner = match body["owner"].as_str() {
            Some(owner) => owner.to_lowercase(),
            None => members.first().cloned().unwrap_or_default(),
        };
        if !members.contains(&owner) {
            return Err((86_207, "owner not in userlist"));
        }
        let id = match body["chatid"].as_str() {
            Some(id) => id.to_owned(),
            None => format!("random{}", self.created),
        };
        let is_id = |c: char| c.is_ascii_alphanumeric();
        if id.is_empty() || id.len() > ID_MAX || !id.chars().all(is_id) {
            return Err((86_001, "invalid chatid"));
        }
        if self.all.contains_key(&id) {
            return Err((86_215, "chat is exist"));
        }
        if self.all.len() >= KEPT_MAX {
            return Err((45_009, "api freq out of limit"));
        }
        self.created += 1;
        let group = Group {
            name: name_of(body),
            owner,
            members,
            messages: Vec::new(),
        };
        self.all.insert(id.clone(), group);
        Ok(json!({ "errcode": 0, "errmsg": "ok", "chatid": id }))
    }

    fn update(&mut self, body: &Value, known: &[String]) -> Result<Value, Refusal> {
        let added = people(&body["add_user_list"], known)?;
        let removed = people(&body["del_user_list"], known)?;
        let group = self.find(body["chatid"].as_str().unwrap_or_default())?;
        if body["name"].is_string() {
            group.name = name_of(body);
        }
        if let Some(owner) = body["owner"].as_str() {
            if !group.members.contains(&owner.to_lowercase()) {
                return Err((86_207, "owner not in userlist"));
            }
            group.owner = owner.to_lowercase();
        }
        for member in added {
            if !group.members.contains(&member) {
                group.members.push(member);
            }
        }
        group.members.retain(|member| !removed.contains(member));
        Ok(json!({ "errcode": 0, "errmsg": "ok" }))
    }

    fn get(&mut self, chat: &str) -> Result<Value, Refusal> {
        let group = self.find(chat)?;
        Ok(json!({
            "errcode": 0, "errmsg": "ok",
            "chat_info": {
                "chatid": chat, "name": group.name, "owner": group.owner, "userlist": group.members,
            },
        }))
    }

    fn send(&mut self, body: &Value) -> Result<Value, Refusal> {
        let group = self.find(body["chatid"].as_str().unwrap_or_default())?;
        let kind = body["msgtype"].as_str().unwrap_or_default();
        let needed: &[&str] = match kind {
            "text" | "markdown" => &["content"],
            "textcard" => &["title", "description", "url"],
            _ => return Err((40_008, "invalid message type")),
        };
        let is_filled = |key: &&str| {
            let text = body[kind][*key].as_str();
            text.is_some_and(|text| !text.is_empty())
        };
        if !needed.iter().all(is_filled) {
            return Err((44_004, "empty content"));
        }
        if group.messages.len() < KEPT_MAX {
            group.messages.push(body.clone());
        }
        Ok(json!({ "errcode": 0, "errmsg": "ok" }))
    }

    fn find(&mut self, chat: &str) -> Result<&mut Group, Refusal> {
        let found = self.all.get_mut(chat);
        found.ok_or((86_003, "chat is not exist"))
    }
}

fn name_of(body: &Value) -> String {
    let name = body["name"].as_str().unwrap_or_default();
    name.chars().take(NAME_MAX).collect()
}

/// Returns the user ids in a list, in lower case and each once. The code for an unknown id refuses the whole request.
fn people(list: &Value, known: &[String]) -> Result<Vec<String>, Refusal> {
    let mut people = Vec::new();
    for id in list.as_array().into_iter().flatten() {
        let id = id.as_str().unwrap_or_default().to_lowercase();
        if !known.contains(&id) {
            return Err((40_031, "invalid userid list"));
        }
        if !people.contains(&id) {
            people.push(id);
        }
    }
    Ok(people)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(groups: &mut Groups, path: &str, body: &Value) -> Result<Value, i64> {
        let known = ["lisi", "zhangsan", "wangwu"].map(str::to_owned);
        let answer = groups.respond(path, "", body.to_string().as_bytes(), &known);
        answer.map_err(|(code, _)| code)
    }

    fn create(groups: &mut Groups, id: &str, people: &[&str]) -> Result<Value, i64> {
        let body = json!({ "chatid": id, "name": "REQ1", "userlist": people });
        ask(groups, CREATE, &body)
    }

    #[test]
    fn a_group_with_the_same_id_is_created_once() {
        let mut groups = Groups::default();
        assert!(create(&mut groups, "g1", &["lisi", "ZhangSan"]).is_ok());
        assert_eq!(create(&mut groups, "g1", &["lisi", "wangwu"]), Err(86_215));
        let group = &groups.all()["g1"];
        assert_eq!(group.members, ["lisi", "zhangsan"]);
        assert_eq!(
            (group.owner.as_str(), group.name.as_str()),
            ("lisi", "REQ1")
        );
        for (id, people, expected) in [
            ("g2", vec!["lisi"], 86_006),
            ("g2", vec!["lisi", "stranger"], 40_031),
            ("g-2", vec!["lisi", "wangwu"], 86_001),
            ("", vec!["lisi", "wangwu"], 86_001),
        ] {
            assert_eq!(create(&mut groups, id, &people), Err(expected), "{id}");
        }
    }

    #[test]
    fn a_group_changes_and_gets_messages() {
        let mut groups = Groups::default();
        create(&mut groups, "g1", &["lisi", "zhangsan"]).unwrap();
        let change = json!({
            "chatid": "g1", "name": "长".repeat(60), "add_user_list": ["wangwu"], "del_user_list": ["lisi"],
        });
        assert!(ask(&mut groups, UPDATE, &change).is_ok());
        let group = &groups.all()["g1"];
        assert_eq!(group.members, ["zhangsan", "wangwu"]);
        assert_eq!(group.name.chars().count(), NAME_MAX);
        let card = json!({ "title": "t", "description": "d", "url": "https://desk.example" });
        let sent = json!({ "chatid": "g1", "msgtype": "textcard", "textcard": card });
        assert!(ask(&mut groups, SEND, &sent).is_ok());
        for (path, body, expected) in [
            (UPDATE, json!({ "chatid": "g9", "name": "x" }), 86_003),
            (
                UPDATE,
                json!({ "chatid": "g1", "add_user_list": ["x"] }),
                40_031,
            ),
            (SEND, json!({ "chatid": "g9", "msgtype": "text" }), 86_003),
            (SEND, json!({ "chatid": "g1", "msgtype": "fax" }), 40_008),
            (SEND, json!({ "chatid": "g1", "msgtype": "text" }), 44_004),
        ] {
            assert_eq!(ask(&mut groups, path, &body), Err(expected), "{body}");
        }
        assert_eq!(groups.all()["g1"].messages.len(), 1);
    }
}
