//! Imitates the channels that the app creates (documentation of the vendor: conversations.create, .invite, .kick, .setTopic
//! and .archive, and users.conversations).

use serde_json::{Value, json};

use super::{APP, CHANNELS, KEPT_MAX, PEOPLE, Refusal};

/// Maximum length of the name of a channel, in characters.
const NAME_MAX: usize = 80;
/// Maximum length of a topic, in characters.
const TOPIC_MAX: usize = 250;
/// Largest and usual number of channels on one page of the list.
const PAGE_MAX: usize = 1_000;
const PAGE: usize = 100;

/// A channel of the app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    pub name: String,
    pub topic: String,
    /// The user ids of the members without the app, in the order in which they joined.
    pub members: Vec<String>,
    pub is_archived: bool,
}

/// All channels that the app created, in the order of their creation.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels(pub(super) Vec<Channel>);

impl Channels {
    /// Returns the response to a call of a method. Returns `None` if the method does not belong to this imitation.
    pub(super) fn call(
        &mut self,
        method: &str,
        arguments: &Value,
    ) -> Option<Result<Value, Refusal>> {
        Some(match method {
            "conversations.create" => self.create(arguments),
            "conversations.invite" => self.invite(arguments),
            "conversations.kick" => self.kick(arguments),
            "conversations.setTopic" => self.set_topic(arguments),
            "conversations.archive" => self.archive(arguments),
            "users.conversations" => Ok(self.list(arguments)),
            _ => return None,
        })
    }

    /// Returns the error for a message to a channel, or `Ok`. Returns `None` if the app did not create the channel.
    pub(super) fn accepts(&self, id: &str) -> Option<Result<(), Refusal>> {
        let channel = self.0.iter().find(|channel| channel.id == id)?;
        Some(if channel.is_archived {
            Err("is_archived".into())
        } else {
            Ok(())
        })
    }

    fn create(&mut self, arguments: &Value) -> Result<Value, Refusal> {
        let name = arguments["name"].as_str().unwrap_or_default();
        let is_valid = |c: char| {
            c.is_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_') || !c.is_ascii()
        };
        if name.is_empty() {
            return Err("invalid_name_required".into());
        }
        if name.chars().count() > NAME_MAX {
            return Err("invalid_name_maxlength".into());
        }
        if !name.chars().all(is_valid) {
            return Err("invalid_name_specials".into());
        }
        // The name of an archived channel stays taken.
        if self.0.len() >= KEPT_MAX || self.0.iter().any(|channel| channel.name == name) {
            return Err("name_taken".into());
        }
        let channel = Channel {
            id: format!("C0GROUP{:04}", self.0.len() + 1),
            name: name.to_owned(),
            ..Channel::default()
        };
        let answer = json!({ "channel": shown(&channel, is_true(&arguments["is_private"])) });
        self.0.push(channel);
        Ok(answer)
    }

    fn invite(&mut self, arguments: &Value) -> Result<Value, Refusal> {
        let is_forced = is_true(&arguments["force"]);
        let users = arguments["users"].as_str().unwrap_or_default().to_owned();
        let channel = self.open(arguments)?;
        let users: Vec<&str> = users.split(',').filter(|user| !user.is_empty()).collect();
        if users.is_empty() {
            return Err("no_user".into());
        }
        let error_of = |user: &str| {
            let is_member = channel.members.iter().any(|member| member == user);
            let is_person = PEOPLE.iter().any(|(id, _)| *id == user);
            match user {
                APP => Some("cant_invite_self"),
                _ if !is_person => Some("user_not_found"),
                _ if is_member => Some("already_in_channel"),
                _ => None,
            }
        };
        let errors: Vec<Value> = users
            .iter()
            .filter_map(|user| {
                let error = error_of(user)?;
                Some(json!({ "user": user, "ok": false, "error": error }))
            })
            .collect();
        let valid: Vec<String> = users
            .iter()
            .filter(|user| error_of(user).is_none())
            .map(|user| (*user).to_owned())
            .collect();
        match errors.first() {
            Some(first) if !is_forced || valid.is_empty() => {
                return Ok(json!({ "error": first["error"], "errors": errors }));
            }
            _ => channel.members.extend(valid),
        }
        let mut answer = json!({ "channel": shown(channel, true) });
        if !errors.is_empty() {
            answer["errors"] = errors.into();
        }
        Ok(answer)
    }

    fn kick(&mut self, arguments: &Value) -> Result<Value, Refusal> {
        let user = arguments["user"].as_str().unwrap_or_default().to_owned();
        let channel = self.open(arguments)?;
        if user == APP {
            return Err("cant_kick_self".into());
        }
        if !PEOPLE.iter().any(|(id, _)| *id == user) {
            return Err("user_not_found".into());
        }
        let before = channel.members.len();
        channel.members.retain(|member| *member != user);
        if channel.members.len() == before {
            return Err("not_in_channel".into());
        }
        Ok(json!({ "errors": {} }))
    }

    fn set_topic(&mut self, arguments: &Value) -> Result<Value, Refusal> {
        let topic = arguments["topic"].as_str().unwrap_or_default().to_owned();
        let channel = self.open(arguments)?;
        if topic.chars().count() > TOPIC_MAX {
            return Err("too_long".into());
        }
        channel.topic = topic;
        Ok(json!({ "channel": shown(channel, true) }))
    }

    fn archive(&mut self, arguments: &Value) -> Result<Value, Refusal> {
        let channel = self.find(arguments)?;
        if channel.is_archived {
            return Err("already_archived".into());
        }
        channel.is_archived = true;
        Ok(json!({}))
    }

    /// Returns a page of the channels of which the app is a member. The cursor is the number of the first channel.
    fn list(&self, arguments: &Value) -> Value {
        let number = |member: &str| match &arguments[member] {
            Value::String(text) => text.parse().ok(),
            other => other
                .as_u64()
                .and_then(|number| usize::try_from(number).ok()),
        };
        let first: usize = number("cursor").unwrap_or_default();
        let limit: usize = number("limit").unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let hides_archived = is_true(&arguments["exclude_archived"]);
        let listed = self.0.iter();
        let listed = listed.filter(|channel| !(hides_archived && channel.is_archived));
        let listed: Vec<Value> = listed.map(|channel| shown(channel, true)).collect();
        let next = if first + limit < listed.len() {
            (first + limit).to_string()
        } else {
            String::new()
        };
        let page: Vec<Value> = listed.into_iter().skip(first).take(limit).collect();
        json!({ "channels": page, "response_metadata": { "next_cursor": next } })
    }

    fn find(&mut self, arguments: &Value) -> Result<&mut Channel, Refusal> {
        let id = arguments["channel"].as_str().unwrap_or_default();
        let foreign = CHANNELS.iter().any(|(known, _)| *known == id);
        let found = self.0.iter_mut().find(|channel| channel.id == id);
        found.ok_or_else(|| {
            let error = if foreign {
                "not_in_channel"
            } else {
                "channel_not_found"
            };
            error.into()
        })
    }

    fn open(&mut self, arguments: &Value) -> Result<&mut Channel, Refusal> {
        let channel = self.find(arguments)?;
        if channel.is_archived {
            return Err("is_archived".into());
        }
        Ok(channel)
    }
}

fn shown(channel: &Channel, is_private: bool) -> Value {
    json!({
        "id": channel.id, "name": channel.name, "is_private": is_private, "is_archived": channel.is_archived,
        "creator": APP, "topic": { "value": channel.topic },
    })
}

/// Returns the value of an argument that is a boolean. A form has booleans as texts.
fn is_true(argument: &Value) -> bool {
    match argument {
        Value::Bool(is_true) => *is_true,
        other => other == "true" || other == "1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: &str = "U0000LISI";
    const OTHER: &str = "U000WANGWU";

    fn call(channels: &mut Channels, method: &str, arguments: &Value) -> Value {
        match channels.call(method, arguments).expect("a method") {
            Ok(answer) => answer,
            Err(Refusal::Error(error)) => json!({ "error": error }),
            Err(Refusal::Limited(wait)) => json!({ "error": wait }),
        }
    }

    fn create(channels: &mut Channels, name: &str) -> Value {
        let arguments = json!({ "name": name, "is_private": true });
        call(channels, "conversations.create", &arguments)
    }

    #[test]
    fn a_name_is_used_once_and_has_only_some_characters() {
        let mut channels = Channels::default();
        let created = create(&mut channels, "req1-0123");
        assert_eq!(created["channel"]["id"], "C0GROUP0001");
        for (name, expected) in [
            ("req1-0123", "name_taken"),
            ("", "invalid_name_required"),
            ("REQ1", "invalid_name_specials"),
            ("a b", "invalid_name_specials"),
            ("x".repeat(81).as_str(), "invalid_name_maxlength"),
        ] {
            assert_eq!(create(&mut channels, name)["error"], expected, "{name}");
        }
        let archive = json!({ "channel": "C0GROUP0001" });
        let archived = call(&mut channels, "conversations.archive", &archive);
        assert_eq!(archived, json!({}));
        let again = call(&mut channels, "conversations.archive", &archive);
        assert_eq!(again["error"], "already_archived");
        assert_eq!(create(&mut channels, "req1-0123")["error"], "name_taken");
        assert!(channels.accepts("C0GROUP0001").unwrap().is_err());
        assert!(channels.accepts("C0GROUP0002").is_none());
    }

    #[test]
    fn people_are_invited_and_removed() {
        let mut channels = Channels::default();
        create(&mut channels, "req1");
        let mut invite = |users: &str, is_forced: bool| {
            let arguments = json!({ "channel": "C0GROUP0001", "users": users, "force": is_forced });
            call(&mut channels, "conversations.invite", &arguments)
        };
        let both = format!("{PERSON},U000NOBODY");
        assert_eq!(invite(&both, false)["error"], "user_not_found");
        let forced = invite(&both, true);
        assert_eq!(forced["errors"][0]["user"], "U000NOBODY");
        assert!(forced["error"].is_null(), "{forced}");
        assert_eq!(invite(PERSON, true)["error"], "already_in_channel");
        assert_eq!(invite(APP, false)["error"], "cant_invite_self");
        assert_eq!(invite("", false)["error"], "no_user");
        assert_eq!(channels.0[0].members, [PERSON]);
        for (user, expected) in [
            (OTHER, json!("not_in_channel")),
            (APP, json!("cant_kick_self")),
            ("U1", json!("user_not_found")),
            (PERSON, Value::Null),
        ] {
            let arguments = json!({ "channel": "C0GROUP0001", "user": user });
            let answer = call(&mut channels, "conversations.kick", &arguments);
            assert_eq!(answer["error"], expected, "{user}");
        }
        assert!(channels.0[0].members.is_empty());
        for (channel, expected) in [
            ("C000000OPS", "not_in_channel"),
            ("C1", "channel_not_found"),
        ] {
            let arguments = json!({ "channel": channel, "topic": "x" });
            let answer = call(&mut channels, "conversations.setTopic", &arguments);
            assert_eq!(answer["error"], expected);
        }
        let long = json!({ "channel": "C0GROUP0001", "topic": "x".repeat(251) });
        let answer = call(&mut channels, "conversations.setTopic", &long);
        assert_eq!(answer["error"], "too_long");
    }

    #[test]
    fn the_list_has_pages() {
        let mut channels = Channels::default();
        for number in 0..3 {
            create(&mut channels, &format!("req{number}"));
        }
        channels.0[0].is_archived = true;
        let mut page = |cursor: &str| {
            let arguments = json!({ "limit": "1", "cursor": cursor, "exclude_archived": "true" });
            let page = call(&mut channels, "users.conversations", &arguments);
            let name = page["channels"][0]["name"].clone();
            (name, page["response_metadata"]["next_cursor"].clone())
        };
        assert_eq!(page(""), (json!("req1"), json!("1")));
        assert_eq!(page("1"), (json!("req2"), json!("")));
    }
}
