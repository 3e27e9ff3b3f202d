//! Reads the messages that people write to an application of Feishu, and the mentions in them (documentation of the vendor:
//! im.message.receive_v1). A mention is a key such as `@_user_1` in the text.

use serde_json::Value;

use super::super::{ID_BYTES_MAX, Refusal, object, text};

/// The type of a chat with one person.
const DIRECT: &str = "p2p";
/// The type of a mention of an application.
const BOT: &str = "bot";

/// Returns the id of the group of a message. The text is empty for a message to the application alone.
pub(super) fn group(message: &Value) -> &str {
    let chat = text(message, "/chat_id");
    let is_direct = matches!(text(message, "/chat_type"), "" | DIRECT);
    if is_direct || chat.len() > ID_BYTES_MAX {
        ""
    } else {
        chat
    }
}

/// Returns whether a message mentions an application. An application with the permission for all messages of a group also
/// gets messages without a mention, and messages that mention only people. If no mention has a type, any mention counts.
pub(super) fn mentions_bot(message: &Value) -> bool {
    let kinds: Vec<&str> = mentions(message).map(kind).collect();
    if kinds.iter().all(|kind| kind.is_empty()) {
        !kinds.is_empty()
    } else {
        kinds.contains(&BOT)
    }
}

/// Returns the text of a message without the mentions of applications. A mention of a person becomes `@name`.
pub(super) fn text_of(message: &Value) -> Result<String, Refusal> {
    // The content of a message is JSON in a text.
    let content = Value::Object(object(text(message, "/content").as_bytes())?);
    let mut written = match content.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => paragraphs(&content),
    };
    let mut known: Vec<(&str, String)> = mentions(message)
        .map(|mention| (text(mention, "/key"), shown(mention)))
        .filter(|(key, _)| !key.is_empty())
        .collect();
    // The key `@_user_1` is a part of the key `@_user_10`.
    known.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
    for (key, name) in known {
        written = written.replace(key, &name);
    }
    Ok(written)
}

/// Returns the text of a message with several paragraphs (the type `post`).
fn paragraphs(content: &Value) -> String {
    let paragraphs = content.get("content").and_then(Value::as_array);
    let paragraphs = paragraphs.into_iter().flatten();
    let lines = paragraphs.map(|paragraph| {
        let parts = paragraph.as_array().into_iter().flatten();
        // A mention has its key in the member `user_id`.
        let parts = parts.map(|part| match text(part, "/tag") {
            "at" => text(part, "/user_id"),
            _ => text(part, "/text"),
        });
        parts.collect::<String>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn mentions(message: &Value) -> impl Iterator<Item = &Value> {
    let mentions = message.get("mentions").and_then(Value::as_array);
    mentions.into_iter().flatten()
}

fn kind(mention: &Value) -> &str {
    text(mention, "/mentioned_type")
}

/// Returns the text that replaces a mention. A name has no spaces there, because a command begins after the first space.
fn shown(mention: &Value) -> String {
    if kind(mention) == BOT {
        return String::new();
    }
    let name = text(mention, "/name").chars();
    let name: String = name.filter(|c| !c.is_whitespace()).collect();
    format!("@{name}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(content: &Value, mentions: &Value) -> Value {
        json!({
            "chat_id": "oc_1", "chat_type": "group", "content": content.to_string(), "mentions": mentions,
        })
    }

    #[test]
    fn only_messages_that_mention_an_application_count() {
        let mention =
            |kind: &str| json!({ "key": "@_user_1", "name": "x", "mentioned_type": kind });
        let untyped = json!({ "key": "@_user_1", "name": "x" });
        for (mentions, expected) in [
            (json!([]), false),
            (Value::Null, false),
            (json!([mention("user")]), false),
            (json!([mention("user"), mention("bot")]), true),
            (json!([untyped]), true),
        ] {
            let message = message(&json!({ "text": "x" }), &mentions);
            assert_eq!(mentions_bot(&message), expected, "{mentions}");
        }
    }

    #[test]
    fn mentions_become_names_and_the_mention_of_the_application_disappears() {
        let mut mentions =
            vec![json!({ "key": "@_user_1", "name": "desk", "mentioned_type": "bot" })];
        mentions.extend((2..=10).map(|number| {
            let (key, name) = (format!("@_user_{number}"), format!("Li {number}"));
            json!({ "key": key, "name": name, "mentioned_type": "user" })
        }));
        let mentions = json!(mentions);
        let said = json!({ "text": "@_user_1 comment ask @_user_10 and @_user_2" });
        let read = text_of(&message(&said, &mentions));
        assert_eq!(read.unwrap(), " comment ask @Li10 and @Li2");
        let post = json!({ "title": "", "content": [
            [{ "tag": "at", "user_id": "@_user_1", "user_name": "desk" }, { "tag": "text", "text": " comment one" }],
            [{ "tag": "a", "text": "two", "href": "https://x.example" }, { "tag": "img", "image_key": "i" }],
        ] });
        let read = text_of(&message(&post, &mentions));
        assert_eq!(read.unwrap(), " comment one\ntwo");
        let picture = json!({ "image_key": "i" });
        assert_eq!(text_of(&message(&picture, &mentions)).unwrap(), "");
        let broken = json!({ "content": "no JSON" });
        assert!(text_of(&broken).is_err());
    }

    #[test]
    fn a_chat_with_one_person_is_no_group() {
        let kind = |kind: &str| json!({ "chat_id": "oc_1", "chat_type": kind });
        assert_eq!(group(&kind("group")), "oc_1");
        assert_eq!(group(&kind("p2p")), "");
        assert_eq!(group(&json!({ "chat_id": "oc_1" })), "");
        let long = json!({ "chat_id": "o".repeat(ID_BYTES_MAX + 1), "chat_type": "group" });
        assert_eq!(group(&long), "");
    }
}
