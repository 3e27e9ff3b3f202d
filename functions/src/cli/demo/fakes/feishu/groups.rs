//! Imitates the groups that the application creates (documentation of the vendor: im-v1 chat create, update and delete, and
//! chat-members create and delete).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Feishu, KEPT_MAX, value_of};

/// The path of the groups. The id of a group, and `/members`, can follow.
pub const CHATS: &str = "/open-apis/im/v1/chats";
/// The time in which a repeated `uuid` returns the same group, in milliseconds: 10 hours.
const REPEATED_MS: i64 = 36_000_000;
/// Maximum number of people in one request.
const PEOPLE_MAX: usize = 50;
/// Maximum length of the name of a group, in characters.
const NAME_MAX: usize = 100;
/// Maximum length of `uuid`, in characters.
const ID_MAX: usize = 50;
/// The kinds of ids that name a person.
const KINDS: [&str; 3] = ["open_id", "user_id", "union_id"];

/// A group of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    /// The ids of the members without the application, in the order in which they joined.
    pub members: Vec<String>,
    pub is_dissolved: bool,
}

/// All groups of the application.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) all: BTreeMap<String, Group>,
    /// The times and the groups of the requests with a `uuid`.
    repeated: BTreeMap<String, (i64, String)>,
}

impl Groups {
    /// Returns true if the application can send a message to the group.
    pub(super) fn accepts(&self, id: &str) -> bool {
        let group = self.all.get(id);
        group.is_some_and(|group| !group.is_dissolved)
    }

    fn open(&mut self, id: &str) -> Result<&mut Group, Answer> {
        let group = self.all.get_mut(id).ok_or_else(|| {
            let reason = "Your request specifies a chat_id which is invalid.";
            Answer::refused(400, 232_006, reason)
        })?;
        if group.is_dissolved {
            let reason = "The chat has been dissolved.";
            return Err(Answer::refused(400, 232_009, reason));
        }
        Ok(group)
    }

    fn create(&mut self, query: &str, body: &Value, now: i64) -> Result<Answer, Answer> {
        let uuid = value_of(query, "uuid");
        let name = name_of(body)?;
        if uuid.chars().count() > ID_MAX {
            return Err(wrong("uuid is too long"));
        }
        self.repeated.retain(|_, (at, _)| *at + REPEATED_MS > now);
        if let Some((_, id)) = self.repeated.get(&uuid) {
            return Ok(Answer::accepted(json!({ "chat_id": id, "name": name })));
        }
        if self.all.len() >= KEPT_MAX {
            return Err(wrong("too many chats"));
        }
        let id = format!("oc_group{}", self.all.len() + 1);
        if !uuid.is_empty() {
            self.repeated.insert(uuid, (now, id.clone()));
        }
        let group = Group {
            name: name.clone(),
            ..Group::default()
        };
        self.all.insert(id.clone(), group);
        Ok(Answer::accepted(json!({ "chat_id": id, "name": name })))
    }

    /// Adds people. Without `succeed_type=1`, one wrong id refuses the whole request.
    fn add(
        &mut self,
        id: &str,
        query: &str,
        body: &Value,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Answer, Answer> {
        let people = people_of(query, body)?;
        let group = self.open(id)?;
        let (valid, invalid): (Vec<String>, Vec<String>) =
            people.into_iter().partition(|person| is_known(person));
        if !invalid.is_empty() && value_of(query, "succeed_type") != "1" {
            let reason = "Your request contains unavailable ids.";
            return Err(Answer::refused(400, 232_043, reason));
        }
        for person in valid {
            if !group.members.contains(&person) {
                group.members.push(person);
            }
        }
        Ok(Answer::accepted(json!({
            "invalid_id_list": invalid, "not_existed_id_list": [], "pending_approval_id_list": [],
        })))
    }

    fn remove(&mut self, id: &str, query: &str, body: &Value) -> Result<Answer, Answer> {
        let people = people_of(query, body)?;
        let group = self.open(id)?;
        let (members, invalid): (Vec<String>, Vec<String>) = people
            .into_iter()
            .partition(|person| group.members.contains(person));
        group.members.retain(|member| !members.contains(member));
        Ok(Answer::accepted(json!({ "invalid_id_list": invalid })))
    }
}

impl Feishu {
    /// Returns the groups of the application by their ids.
    pub fn groups(&self) -> BTreeMap<String, Group> {
        self.all().groups.all.clone()
    }

    /// Stores a message that a person writes in a group and that mentions the application. Returns the event with which
    /// Feishu reports it (im.message.receive_v1).
    pub fn write(&self, group: &str, open_id: &str, text: &str) -> Value {
        let mut seen = self.all();
        let id = format!("om_person{}", seen.messages.len() + 1);
        let content = json!({ "text": format!("@_user_1 {text}") });
        if seen.messages.len() < KEPT_MAX {
            seen.messages.push(json!({
                "message_id": id, "receive_id": group, "receive_id_type": "chat_id", "msg_type": "text",
                "content": content, "sender": open_id,
            }));
        }
        let mention = json!({
            "key": "@_user_1", "id": { "open_id": "ou_application" }, "name": "服务台", "mentioned_type": "bot",
        });
        json!({
            "sender": { "sender_id": { "open_id": open_id }, "sender_type": "user" },
            "message": {
                "message_id": id, "chat_id": group, "chat_type": "group", "message_type": "text",
                "content": content.to_string(), "mentions": [mention],
            },
        })
    }

    /// Returns the response to a request that creates or changes a group. `path` is the path of the URL.
    pub fn change_group(
        &self,
        method: &str,
        path: &str,
        query: &str,
        authorization: &str,
        body: &[u8],
    ) -> Answer {
        let now = self.clock.now().0;
        let changed = self.admit(authorization, now).and_then(|mut seen| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let groups = &mut seen.groups;
            let rest = path.strip_prefix(CHATS).unwrap_or_default();
            let rest = rest.trim_matches('/');
            let is_known = |id: &str| self.known.contains(id);
            match (method, rest.split_once('/')) {
                ("POST", None) if rest.is_empty() => groups.create(query, &body, now),
                ("PUT", None) => {
                    let name = name_of(&body)?;
                    groups.open(rest)?.name = name;
                    Ok(Answer::accepted(json!({})))
                }
                ("DELETE", None) => {
                    groups.open(rest)?.is_dissolved = true;
                    Ok(Answer::accepted(json!({})))
                }
                ("POST", Some((id, "members"))) => groups.add(id, query, &body, is_known),
                ("DELETE", Some((id, "members"))) => groups.remove(id, query, &body),
                _ => Err(Answer::refused(404, 99_991_672, "the path does not exist")),
            }
        });
        match changed {
            Ok(answer) | Err(answer) => answer,
        }
    }
}

fn wrong(detail: &str) -> Answer {
    let reason = format!("Your request contains an invalid request parameter, ext={detail}.");
    Answer::refused(400, 232_001, &reason)
}

fn name_of(body: &Value) -> Result<String, Answer> {
    let name = body["name"].as_str().unwrap_or_default();
    if name.chars().count() > NAME_MAX {
        return Err(wrong("name is too long"));
    }
    Ok(name.to_owned())
}

fn people_of(query: &str, body: &Value) -> Result<Vec<String>, Answer> {
    if !KINDS.contains(&value_of(query, "member_id_type").as_str()) {
        let reason = "field validation failed";
        return Err(Answer::refused(400, 99_992_402, reason));
    }
    let ids = body["id_list"].as_array().into_iter().flatten();
    let ids: Vec<String> = ids.filter_map(Value::as_str).map(str::to_owned).collect();
    if ids.is_empty() || ids.len() > PEOPLE_MAX {
        return Err(wrong("id_list must have 1 to 50 ids"));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    /// The imitation, its clock, and the header with a valid access token.
    fn feishu() -> (Feishu, Arc<ManualClock>, String) {
        let clock = Arc::new(ManualClock::at(Moment(1_599_360_473_000)));
        let feishu = Feishu::new("cli_a", "key", &["ou_1", "ou_2"], clock.clone());
        let asked = json!({ "app_id": "cli_a", "app_secret": "key" }).to_string();
        let token = feishu.token(asked.as_bytes()).body["tenant_access_token"].clone();
        let bearer = format!("Bearer {}", token.as_str().expect("a token"));
        (feishu, clock, bearer)
    }

    #[test]
    fn a_repeated_creation_returns_the_same_group() {
        let (feishu, clock, bearer) = feishu();
        let create = |uuid: &str| {
            let query = format!("user_id_type=open_id&uuid={uuid}");
            feishu.change_group("POST", CHATS, &query, &bearer, br#"{"name":"REQ1"}"#)
        };
        let first = create("a");
        assert_eq!(first.body["data"]["chat_id"], "oc_group1");
        assert_eq!(create("a"), first);
        assert_eq!(create("b").body["data"]["chat_id"], "oc_group2");
        clock.advance(3_600_000);
        assert_eq!(create("a"), first);
        assert_eq!(create(&"x".repeat(51)).code(), 232_001);
        let refused = feishu.change_group("POST", CHATS, "", "Bearer old", b"{}");
        assert_eq!(refused.code(), 99_991_663);
    }

    #[test]
    fn members_join_and_leave_until_the_group_is_dissolved() {
        let (feishu, _, bearer) = feishu();
        let ask = |method: &str, rest: &str, query: &str, body: Value| {
            let path = format!("{CHATS}{rest}");
            let body = body.to_string();
            feishu.change_group(method, &path, query, &bearer, body.as_bytes())
        };
        let (group, members) = ("/oc_group1", "/oc_group1/members");
        let kind = "member_id_type=open_id";
        ask("POST", "", "", json!({ "name": "REQ1" }));
        let people = || json!({ "id_list": ["ou_1", "ou_2", "ou_9"] });
        assert_eq!(ask("POST", members, kind, people()).code(), 232_043);
        assert_eq!(ask("POST", members, "", people()).code(), 99_992_402);
        let partial = format!("{kind}&succeed_type=1");
        let added = ask("POST", members, &partial, people());
        assert_eq!(added.body["data"]["invalid_id_list"], json!(["ou_9"]));
        let leaver = json!({ "id_list": ["ou_1", "ou_9"] });
        let removed = ask("DELETE", members, kind, leaver);
        assert_eq!(removed.body["data"]["invalid_id_list"], json!(["ou_9"]));
        assert_eq!(ask("PUT", group, "", json!({ "name": "new" })).code(), 0);
        let expected = Group {
            name: "new".into(),
            members: vec!["ou_2".into()],
            is_dissolved: false,
        };
        assert_eq!(feishu.groups()["oc_group1"], expected);
        assert_eq!(ask("DELETE", group, "", Value::Null).code(), 0);
        assert_eq!(ask("DELETE", group, "", Value::Null).code(), 232_009);
        assert_eq!(ask("PUT", "/oc_9", "", json!({})).code(), 232_006);
        assert_eq!(ask("POST", members, kind, json!({})).code(), 232_001);
    }
}
