//! Imitates the scene groups of the app (documentation of the vendor: 创建场景群, 添加场景群成员, 删除场景群成员, 更新场景群,
//! 解散场景群, 机器人发送群聊消息). The caller of [`Groups::respond`] has checked the access token and the rate.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{App, KEPT_MAX, Reply, names_of_template, new_refusal};

const CREATE: &str = "/v1.0/im/sceneGroup/create";
const ADD: &str = "/v1.0/im/sceneGroup/member/add";
const DELETE: &str = "/v1.0/im/sceneGroup/member/delete";
const UPDATE: &str = "/v1.0/im/sceneGroup/update";
const DISBAND: &str = "/v1.0/im/chat/scenegroup/disband";
const SEND: &str = "/v1.0/robot/groupMessages/send";
/// The paths of this imitation.
pub(super) const PATHS: [&str; 6] = [CREATE, ADD, DELETE, UPDATE, DISBAND, SEND];
/// The template of the groups.
pub const TEMPLATE: &str = "group-template";
/// Maximum length of the name of a group, in characters.
const NAME_MAX: usize = 30;
/// Maximum number of people in one request.
const PEOPLE_MAX: usize = 1_000;

/// A group of the app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub name: String,
    /// The ids of the members in the order in which they joined. The owner is the first one.
    pub members: Vec<String>,
    pub messages: Vec<Value>,
    pub is_disbanded: bool,
}

/// All groups of the app, by their ids.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) all: BTreeMap<String, Group>,
    /// The groups of the requests with a `uuid`.
    repeated: BTreeMap<String, String>,
}

/// A refusal, with its code and reason.
type Refusal = (&'static str, &'static str);

impl Groups {
    /// Returns the response to a request.
    pub(super) fn respond(&mut self, path: &str, body: &Value, app: &App) -> Reply {
        let result = match path {
            CREATE => self.create(body, app),
            ADD => self.add(body, app),
            DELETE => self.delete(body, app),
            UPDATE => self.update(body),
            DISBAND => self.disband(body),
            _ => self.send(body, app),
        };
        match result {
            Ok(answer) => (200, answer),
            Err((code, reason)) => new_refusal(400, code, reason),
        }
    }

    fn create(&mut self, body: &Value, app: &App) -> Result<Value, Refusal> {
        if body["template_id"] != TEMPLATE {
            return Err(("groupTemplate.notFound", "群模板不存在"));
        }
        let name = name_of(body)?.ok_or(("parameter.invalid", "title"))?;
        let owner = body["owner_user_id"].as_str().unwrap_or_default();
        let mut members = vec![owner.to_owned()];
        for person in people_of(&body["user_ids"])? {
            if !members.contains(&person) {
                members.push(person);
            }
        }
        if !members.iter().all(|person| app.people.contains(person)) {
            return Err(("member.notFound", "群成员不存在"));
        }
        let uuid = body["uuid"].as_str().unwrap_or_default();
        let repeated = self.repeated.get(uuid).cloned();
        let id = repeated
            .clone()
            .unwrap_or_else(|| format!("cid{}==", self.all.len() + 1));
        if repeated.is_none() {
            if self.all.len() >= KEPT_MAX {
                return Err(("member.exceed", "too many groups"));
            }
            let group = Group {
                name,
                members,
                ..Group::default()
            };
            self.all.insert(id.clone(), group);
            if !uuid.is_empty() {
                self.repeated.insert(uuid.to_owned(), id.clone());
            }
        }
        Ok(json!({ "open_conversation_id": id, "chat_id": format!("chat-{id}") }))
    }

    fn add(&mut self, body: &Value, app: &App) -> Result<Value, Refusal> {
        let people = people_of(&body["user_ids"])?;
        let group = self.open(&body["open_conversation_id"])?;
        check(&people, app)?;
        for person in people {
            if !group.members.contains(&person) {
                group.members.push(person);
            }
        }
        Ok(json!({ "success": true }))
    }

    fn delete(&mut self, body: &Value, app: &App) -> Result<Value, Refusal> {
        let people = people_of(&body["user_ids"])?;
        let group = self.open(&body["open_conversation_id"])?;
        check(&people, app)?;
        if group
            .members
            .first()
            .is_some_and(|owner| people.contains(owner))
        {
            return Err(("permession.checkFailed", "the owner cannot be removed"));
        }
        group.members.retain(|member| !people.contains(member));
        Ok(json!({ "success": true }))
    }

    fn update(&mut self, body: &Value) -> Result<Value, Refusal> {
        let name = name_of(body)?;
        let group = self.open(&body["open_conversation_id"])?;
        if let Some(name) = name {
            group.name = name;
        }
        Ok(json!({ "success": true }))
    }

    fn disband(&mut self, body: &Value) -> Result<Value, Refusal> {
        self.open(&body["openConversationId"])?.is_disbanded = true;
        Ok(json!({ "success": true }))
    }

    fn send(&mut self, body: &Value, app: &App) -> Result<Value, Refusal> {
        if body["robotCode"] != app.robot.as_str() {
            return Err(("invalidParameter.robotCode.auth", "robotCode.auth"));
        }
        let key = body["msgKey"].as_str().unwrap_or_default();
        let Some(names) = names_of_template(key) else {
            return Err(("invalidParameter.msgKey.invalid", "msgKey.invalid"));
        };
        let parameters = body["msgParam"].as_str().unwrap_or_default();
        let values: Value = serde_json::from_str(parameters).unwrap_or_default();
        if !names.iter().all(|name| values[name].is_string()) {
            return Err(("invalidParameter.msgParam.invalid", "msgParam.invalid"));
        }
        let group = self.open(&body["openConversationId"])?;
        if group.messages.len() < KEPT_MAX {
            group.messages.push(body.clone());
        }
        let number = group.messages.len();
        Ok(json!({ "processQueryKey": format!("group-query-{number}") }))
    }

    fn open(&mut self, id: &Value) -> Result<&mut Group, Refusal> {
        let group = self.all.get_mut(id.as_str().unwrap_or_default());
        match group {
            Some(group) if !group.is_disbanded => Ok(group),
            _ => Err(("conversation.notFound", "会话不存在")),
        }
    }
}

fn check(people: &[String], app: &App) -> Result<(), Refusal> {
    if people.is_empty() {
        return Err(("parameter.invalid", "user_ids"));
    }
    if people.iter().all(|person| app.people.contains(person)) {
        Ok(())
    } else {
        Err(("member.notFound", "群成员不存在"))
    }
}

/// Returns the name in a request. Returns `None` if the request has no name.
fn name_of(body: &Value) -> Result<Option<String>, Refusal> {
    match body["title"].as_str() {
        None => Ok(None),
        Some(name) if name.is_empty() || name.chars().count() > NAME_MAX => {
            Err(("parameter.invalid", "title"))
        }
        Some(name) => Ok(Some(name.to_owned())),
    }
}

fn people_of(list: &Value) -> Result<Vec<String>, Refusal> {
    let ids = match list {
        Value::Null => return Ok(Vec::new()),
        Value::Array(ids) if ids.len() <= PEOPLE_MAX => ids,
        Value::Array(_) => return Err(("member.exceed", "user_ids")),
        _ => return Err(("parameter.invalid", "user_ids")),
    };
    let ids = ids.iter().filter_map(Value::as_str);
    Ok(ids.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            key: "k".into(),
            secret: "s".into(),
            robot: "r".into(),
            agent: 1,
            template: "t".into(),
            people: vec!["boss".into(), "lisi".into(), "zhangsan".into()],
        }
    }

    /// Returns the text of the code, or `ok`.
    fn code(reply: &Reply) -> &str {
        reply.1["code"].as_str().unwrap_or("ok")
    }

    #[test]
    fn a_repeated_creation_returns_the_same_group() {
        let (app, mut groups) = (app(), Groups::default());
        let create = |change: Value| {
            let mut body = json!({
                "title": "REQ1", "template_id": TEMPLATE, "owner_user_id": "boss", "uuid": "u1",
            });
            for (key, value) in change.as_object().expect("an object") {
                body[key.as_str()] = value.clone();
            }
            body
        };
        let first = groups.respond(CREATE, &create(json!({})), &app);
        assert_eq!(first.1["open_conversation_id"], "cid1==");
        assert_eq!(groups.respond(CREATE, &create(json!({})), &app), first);
        for (change, expected) in [
            (json!({ "template_id": "x" }), "groupTemplate.notFound"),
            (json!({ "title": "x".repeat(31) }), "parameter.invalid"),
            (json!({ "owner_user_id": "x" }), "member.notFound"),
            (json!({ "user_ids": ["x"] }), "member.notFound"),
            (json!({ "user_ids": "lisi" }), "parameter.invalid"),
        ] {
            let reply = groups.respond(CREATE, &create(change), &app);
            assert_eq!((reply.0, code(&reply)), (400, expected));
        }
        assert_eq!(groups.all.len(), 1);
    }

    #[test]
    fn a_group_changes_until_it_is_disbanded() {
        let (app, mut groups) = (app(), Groups::default());
        let create = json!({
            "title": "REQ1", "template_id": TEMPLATE, "owner_user_id": "boss", "user_ids": ["lisi"],
        });
        groups.respond(CREATE, &create, &app);
        let people = |ids: &[&str]| json!({ "open_conversation_id": "cid1==", "user_ids": ids });
        let rename = |name: &str| json!({ "open_conversation_id": "cid1==", "title": name });
        let disband = json!({ "openConversationId": "cid1==" });
        let message = |robot: &str, parameters: Value| {
            json!({
                "robotCode": robot, "openConversationId": "cid1==", "msgKey": "sampleMarkdown",
                "msgParam": parameters.to_string(),
            })
        };
        let text = json!({ "title": "a", "text": "b" });
        for (path, body, expected) in [
            (ADD, people(&["zhangsan"]), "ok"),
            (ADD, people(&["stranger"]), "member.notFound"),
            (ADD, people(&[]), "parameter.invalid"),
            (DELETE, people(&["lisi"]), "ok"),
            (DELETE, people(&["boss"]), "permession.checkFailed"),
            (UPDATE, rename("new"), "ok"),
            (SEND, message("r", text.clone()), "ok"),
            (
                SEND,
                message("x", text.clone()),
                "invalidParameter.robotCode.auth",
            ),
            (
                SEND,
                message("r", json!({})),
                "invalidParameter.msgParam.invalid",
            ),
            (DISBAND, disband.clone(), "ok"),
            (DISBAND, disband, "conversation.notFound"),
            (UPDATE, rename("x"), "conversation.notFound"),
        ] {
            let reply = groups.respond(path, &body, &app);
            assert_eq!(code(&reply), expected, "{path} {body}");
        }
        let group = &groups.all["cid1=="];
        assert_eq!(group.members, ["boss", "zhangsan"]);
        assert_eq!((group.name.as_str(), group.messages.len()), ("new", 1));
    }
}
