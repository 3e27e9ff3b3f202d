//! Converts between the JSON document of a notification template (requirements/notifications.md, the template
//! management) and the texts of a version. The desk stores an imported document and returns it unchanged.

use std::collections::BTreeMap;

use events::notification_template::{Text, Texts};
use serde_json::{Map, Value, json};

/// Maximum length of a document, in bytes of JSON.
pub const BYTES_MAX: usize = 64 * 1024;

/// Returns the texts of a document by format. The texts for WeChat and DingTalk become texts for chat messages.
pub fn formats(document: &Map<String, Value>) -> BTreeMap<String, Text> {
    let templates = document.get("templates").and_then(Value::as_object);
    let part = |name: &str| templates.and_then(|templates| templates.get(name));
    let found = [
        ("email", part("email").map(email)),
        ("wechat", part("wechat").map(wechat)),
        ("dingtalk", part("dingtalk").map(dingtalk)),
    ];
    let found = found
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?)));
    found.filter(|(_, text)| !text.body.is_empty()).collect()
}

/// Returns the member in which a document contains the text of a format, as a JSON pointer. The errors of an import name
/// this member.
pub fn pointer(format: &str, member: &str) -> String {
    match (format, member) {
        ("wechat", "subject") => "/templates/wechat/title".into(),
        ("wechat", _) => "/templates/wechat/description".into(),
        ("dingtalk", "subject") => "/templates/dingtalk/link/title".into(),
        ("dingtalk", _) => "/templates/dingtalk/link/text".into(),
        _ => format!("/templates/{format}/{member}"),
    }
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn email(part: &Value) -> Text {
    Text {
        subject: text(part, "/subject"),
        body: text(part, "/body"),
        ..Text::default()
    }
}

/// Returns the text for WeChat. If the description is absent, the body consists of the data of the message template of
/// a public account: the first line, the keywords and the remark.
fn wechat(part: &Value) -> Text {
    let description = text(part, "/description");
    let body = if description.is_empty() {
        let data = part.get("template_data").and_then(Value::as_object);
        // The names `first`, `keyword1` to `keyword9` and `remark` are in the order of the message.
        let values = data.into_iter().flatten();
        let lines: Vec<&str> = values.filter_map(|(_, value)| value.as_str()).collect();
        lines.join("\n")
    } else {
        description
    };
    Text {
        subject: text(part, "/title"),
        body,
        ..Text::default()
    }
}

fn dingtalk(part: &Value) -> Text {
    Text {
        subject: text(part, "/link/title"),
        body: text(part, "/link/text"),
        ..Text::default()
    }
}

/// Returns a document with the texts of one locale. The desk exports a version in this form if it was not imported.
pub fn exported(key: &str, texts: &Texts, locale: &str) -> Value {
    let text_of = |format| super::formats::text_of(texts, locale, format);
    let url = "{{system.url}}/tickets/{{ticket.id}}";
    let mut templates = Map::new();
    if let Some(text) = text_of("email") {
        let part = json!({ "subject": text.subject, "body": text.body });
        templates.insert("email".into(), part);
    }
    if let Some(text) = text_of("wechat") {
        let part = json!({ "title": text.subject, "description": text.body, "url": url });
        templates.insert("wechat".into(), part);
    }
    if let Some(text) = text_of("dingtalk") {
        let link = json!({ "title": text.subject, "text": text.body, "messageUrl": url });
        let part = json!({ "msgtype": "link", "link": link });
        templates.insert("dingtalk".into(), part);
    }
    let channels: Vec<String> = templates.keys().cloned().collect();
    json!({
        "template_id": key,
        "name": key,
        "channels": channels,
        "templates": templates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document of the requirements.
    fn document() -> Map<String, Value> {
        let document = json!({
            "template_id": "ticket_assigned",
            "name": "工单分配通知",
            "description": "当工单被分配给处理人员时发送的通知",
            "channels": ["email", "wechat", "dingtalk"],
            "templates": {
                "email": { "subject": "[ITSM] 新工单分配 - {{ticket.title}}", "body": "您好 {{assignee.name}}" },
                "wechat": {
                    "title": "新工单分配",
                    "description": "{{assignee.name}}，您有一个新的工单需要处理",
                    "url": "{{system.url}}/tickets/{{ticket.id}}",
                    "template_data": { "first": "您有一个新的工单需要处理", "keyword1": "{{ticket.id}}", "remark": "请及时处理" },
                },
                "dingtalk": {
                    "msgtype": "link",
                    "link": { "title": "新工单分配 - {{ticket.title}}", "text": "工单编号：{{ticket.id}}", "messageUrl": "u" },
                },
            },
        });
        document.as_object().unwrap().clone()
    }

    #[test]
    fn the_texts_of_a_document_become_formats() {
        let formats = formats(&document());
        let names: Vec<&str> = formats.keys().map(String::as_str).collect();
        assert_eq!(names, ["dingtalk", "email", "wechat"]);
        assert_eq!(formats["email"].body, "您好 {{assignee.name}}");
        assert_eq!(formats["wechat"].subject, "新工单分配");
        assert_eq!(formats["dingtalk"].body, "工单编号：{{ticket.id}}");
    }

    #[test]
    fn the_data_of_a_public_account_is_the_body_without_a_description() {
        let mut document = document();
        let wechat = document["templates"]["wechat"].as_object_mut().unwrap();
        wechat.remove("description");
        let body = &formats(&document)["wechat"].body;
        assert_eq!(body, "您有一个新的工单需要处理\n{{ticket.id}}\n请及时处理");
    }

    #[test]
    fn an_export_is_read_like_an_import() {
        let texts = Texts::from([("zh-CN".to_owned(), formats(&document()))]);
        let exported = exported("work_assigned", &texts, "zh-CN");
        assert_eq!(formats(exported.as_object().unwrap()), texts["zh-CN"]);
        assert_eq!(exported["template_id"], "work_assigned");
        let none = super::exported("work_assigned", &texts, "en");
        assert_eq!(none["channels"], json!([]));
    }
}
