//! Renders messages as Adaptive Cards for Microsoft Teams (reference/notifications.md, section 1.4). The two channels of Teams,
//! workflows and bots, share this code.
//!
//! All texts of a ticket are elements of the type `TextRun`. Teams shows the text of such an element without changes, so a
//! ticket text cannot contain Markdown. Only the mention of a person is a `TextBlock`.

use std::net::IpAddr;

use domain::notification::content::{Action, Content, colon, one_line};
use serde_json::{Value, json};

use super::cut;
use crate::http::{HttpResponse, Url};

/// The media type of an Adaptive Card in a message.
const CARD_TYPE: &str = "application/vnd.microsoft.card.adaptive";
/// Maximum size of a message in bytes. Teams allows about 28 KB, but one client observed failures from 21 KB.
const MESSAGE_BYTES_MAX: usize = 20_000;
/// Maximum number of ticket values in a card. The limit keeps the time to render a card short.
const VALUES_MAX: usize = 50;
/// Maximum number of buttons that Teams shows in a card.
const BUTTONS_MAX: usize = 5;
/// Maximum size of the text of a button, in bytes.
const LABEL_BYTES_MAX: usize = 90;
/// Maximum size of a sentence in bytes if a message without ticket values is still too large.
const SENTENCE_BYTES_MAX: usize = 300;

/// The kind of the buttons in a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buttons {
    /// The buttons open pages of the desk.
    Links,
    /// Teams reports the press of a button to the bot. Programs that do not know such buttons open a page of the desk.
    Callbacks,
}

/// Returns a message with one card, as JSON of at most 20,000 bytes. If the message is too large, the last ticket values are
/// replaced by an ellipsis. `mentioned` is the address of the person whom the card mentions.
pub(super) fn message(content: &Content, buttons: Buttons, mentioned: Option<&str>) -> Vec<u8> {
    let values = content.values.len().min(VALUES_MAX);
    let complete = (0..=values).rev().map(|values| (values, usize::MAX));
    let mut bytes = Vec::new();
    for (values, sentence) in complete.chain([(0, SENTENCE_BYTES_MAX)]) {
        let mut message = json!({
            "type": "message",
            "attachments": [{
                "contentType": CARD_TYPE,
                "contentUrl": null,
                "content": card(content, buttons, mentioned, values, sentence),
            }],
        });
        if buttons == Buttons::Callbacks {
            // Teams shows the summary in the notification of a message from a bot.
            message["summary"] = plain(&content.subject).into();
        }
        bytes = message.to_string().into_bytes();
        if bytes.len() <= MESSAGE_BYTES_MAX {
            break;
        }
    }
    bytes
}

/// Returns a card with the first `values` ticket values. Each sentence has at most `sentence` bytes.
fn card(
    content: &Content,
    buttons: Buttons,
    mentioned: Option<&str>,
    values: usize,
    sentence: usize,
) -> Value {
    let mut body = vec![paragraph(json!([{
        "type": "TextRun",
        "text": plain(&content.subject),
        "weight": "Bolder",
        "size": "Medium",
    }]))];
    let mut teams = json!({ "width": "full" });
    if let Some(to) = mentioned {
        let mention = format!("<at>{to}</at>");
        teams["entities"] = json!([{
            "type": "mention",
            "text": mention,
            "mentioned": { "id": to, "name": to },
        }]);
        body.push(json!({ "type": "TextBlock", "text": mention, "wrap": true }));
    }
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let intro = cut(&plain(&content.intro), sentence);
    if !intro.is_empty() {
        body.push(paragraph(json!([run(&intro)])));
    }
    for (label, value) in &content.values[..values] {
        let mut runs = Vec::new();
        if !label.is_empty() {
            let label = plain(label);
            let label = format!("{label}{}", colon(&label));
            runs.push(json!({ "type": "TextRun", "text": label, "weight": "Bolder" }));
        }
        runs.push(run(&plain(value)));
        body.push(paragraph(runs.into()));
    }
    if values < content.values.len() {
        body.push(paragraph(json!([run("…")])));
    }
    let closing = cut(&plain(&content.closing), sentence);
    if !closing.is_empty() {
        body.push(paragraph(json!([{
            "type": "TextRun",
            "text": closing,
            "isSubtle": true,
            "size": "Small",
        }])));
    }
    let actions = content.actions.iter().take(BUTTONS_MAX - 1);
    let mut shown: Vec<Value> = actions.map(|action| button(action, buttons)).collect();
    shown.push(link(&content.link.text, &content.link.url));
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": plain(&content.subject),
        "body": body,
        "actions": shown,
        "msteams": teams,
    })
}

fn paragraph(inlines: Value) -> Value {
    json!({ "type": "RichTextBlock", "inlines": inlines })
}

fn button(action: &Action, buttons: Buttons) -> Value {
    let opening = link(&action.label, &action.url);
    let mut button = match buttons {
        Buttons::Links => opening,
        Buttons::Callbacks => json!({
            "type": "Action.Execute",
            "title": title(&action.label),
            "verb": action.name,
            "data": { "value": action.value },
            "fallback": opening,
        }),
    };
    if action.is_primary {
        button["style"] = "positive".into();
    }
    button
}

fn link(label: &str, url: &str) -> Value {
    json!({ "type": "Action.OpenUrl", "title": title(label), "url": url })
}

fn title(label: &str) -> String {
    cut(&plain(label), LABEL_BYTES_MAX)
}

/// Returns a text as one line in which nothing has a special meaning for Teams. The sign `<` is replaced by a full-width sign,
/// because a text such as `<at>name</at>` would repeat the mention of a person. The same happens to a brace that begins a
/// function (`{{DATE(...)}}`) or an expression (`${...}` or `@{...}`).
fn plain(text: &str) -> String {
    let mut last = ' ';
    let mut replaced = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        replaced.push(match c {
            '<' => '＜',
            '{' if matches!(last, '{' | '$' | '@') => '｛',
            c => c,
        });
        last = c;
    }
    replaced
}

/// Returns true if a text is a GUID such as `0a1b2c3d-0000-4000-8000-000000000001`.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// Returns true if a text has the form of an error code. Other texts are not stored as codes.
pub(super) fn is_code(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(is_allowed)
}

/// Returns true if a URL leads to this machine. Only such a URL may begin with `http`, because requests to Teams contain
/// secrets.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns true if requests with secrets may be sent to a URL: the URL uses TLS or leads to this machine, and contains no user
/// name and no fragment.
pub(super) fn is_private(url: &Url) -> bool {
    let is_encrypted = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
    is_encrypted
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

/// Returns the wait in milliseconds that the header `Retry-After` of a response names in seconds. Returns `None` without such
/// a header.
pub(super) fn wait_ms(response: &HttpResponse) -> Option<i64> {
    let seconds: u32 = response.header("retry-after")?.trim().parse().ok()?;
    Some(i64::from(seconds) * 1000)
}

#[cfg(test)]
mod tests {
    use super::super::contract::{content, text_of};
    use super::*;

    fn parsed(content: &Content, buttons: Buttons) -> Value {
        serde_json::from_slice(&message(content, buttons, Some("lisi@example.com"))).unwrap()
    }

    /// Calls `visit` with the key and the text of every text in a JSON value.
    fn texts(value: &Value, key: &str, visit: &mut impl FnMut(&str, &str)) {
        match value {
            Value::String(text) => visit(key, text),
            Value::Array(values) => {
                for value in values {
                    texts(value, key, visit);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    texts(value, key, visit);
                }
            }
            _ => {}
        }
    }

    fn with_actions(count: usize) -> Content {
        let action = |number| Action {
            name: format!("approve{number}"),
            label: "批准".into(),
            is_primary: number == 0,
            url: format!("https://desk.example/act/{number}"),
            value: "v".repeat(200),
        };
        Content {
            actions: (0..count).map(action).collect(),
            ..content()
        }
    }

    #[test]
    fn a_card_has_the_texts_of_the_message_and_its_buttons() {
        let content = with_actions(1);
        let message = parsed(&content, Buttons::Callbacks);
        let card = &message["attachments"][0]["content"];
        assert_eq!(message["attachments"][0]["contentType"], CARD_TYPE);
        assert_eq!(message["summary"], "请审批: 申请权限");
        assert_eq!(
            (&card["type"], &card["version"]),
            (&json!("AdaptiveCard"), &json!("1.4"))
        );
        assert_eq!(card["body"][0]["inlines"][0]["text"], "请审批: 申请权限");
        assert_eq!(card["body"][1]["text"], "<at>lisi@example.com</at>");
        assert_eq!(card["body"][3]["inlines"][0]["text"], "优先级：");
        assert_eq!(card["body"][3]["inlines"][1]["text"], "高");
        let opening = json!({
            "type": "Action.OpenUrl", "title": "批准", "url": "https://desk.example/act/0",
        });
        let link = json!({
            "type": "Action.OpenUrl", "title": "打开工单", "url": "https://desk.example/tickets/REQ1",
        });
        let pressed = json!({
            "type": "Action.Execute", "title": "批准", "verb": "approve0",
            "data": { "value": "v".repeat(200) }, "fallback": opening, "style": "positive",
        });
        assert_eq!(card["actions"], json!([pressed, link]));
        let message = parsed(&content, Buttons::Links);
        assert_eq!(message["summary"], Value::Null);
        let mut opening = opening;
        opening["style"] = "positive".into();
        assert_eq!(
            message["attachments"][0]["content"]["actions"],
            json!([opening, link])
        );
    }

    #[test]
    fn a_card_has_at_most_five_buttons_and_always_the_link() {
        let message = parsed(&with_actions(9), Buttons::Callbacks);
        let actions = message["attachments"][0]["content"]["actions"].clone();
        let actions = actions.as_array().unwrap();
        assert_eq!(actions.len(), 5);
        assert_eq!(actions[4]["url"], "https://desk.example/tickets/REQ1");
    }

    #[test]
    fn a_large_message_loses_its_last_values_and_keeps_its_link() {
        let mut content = with_actions(5);
        content.values = (0..60)
            .map(|number| (format!("标签{number}"), "值".repeat(400)))
            .collect();
        let bytes = message(&content, Buttons::Callbacks, None);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{}", bytes.len());
        assert!(bytes.len() > MESSAGE_BYTES_MAX - 2_000, "{}", bytes.len());
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let card = &message["attachments"][0]["content"];
        let text = card["body"].to_string();
        assert!(
            text.contains("标签0: ") && !text.contains("标签59: "),
            "{text}"
        );
        let body = card["body"].as_array().unwrap();
        assert_eq!(body[body.len() - 2]["inlines"][0]["text"], "…");
        assert_eq!(card["actions"].as_array().unwrap().len(), 5);
        // Without values, the sentences are cut.
        content.values = Vec::new();
        for action in &mut content.actions {
            action.url = format!("https://desk.example/{}", "x".repeat(4_250));
        }
        content.intro = "字".repeat(400);
        content.closing = "字".repeat(400);
        let bytes = self::message(&content, Buttons::Links, None);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{}", bytes.len());
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("字…") && text.contains("请审批"), "{text}");
    }

    #[test]
    fn ticket_text_has_no_special_meaning_for_teams() {
        const TYPES: [&str; 8] = [
            "message",
            "AdaptiveCard",
            "RichTextBlock",
            "TextRun",
            "TextBlock",
            "mention",
            "Action.OpenUrl",
            "Action.Execute",
        ];
        let fixed = [
            "<at>lisi@example.com</at>",
            "</at><at>all</at>",
            "{{DATE(2026-01-01T00:00:00Z,SHORT)}} {{{{",
            "${name} @{triggerBody()} ${{x}}",
            "[click](http://evil.example) **b** _i_\r\n- list",
            r#""},{"type":"Image","url":"http://evil.example/x.png"},{"text":""#,
            "\u{202e}\u{0}\u{1b}[31m\\u003cat\\u003e",
        ];
        let parts = [
            "<", ">", "at>", "{", "}", "$", "@", "\"", "\\", "*", "[", "](", ")", "\n", "工", "a",
        ];
        let mut state = 7_u64;
        let generated = (0..300).map(|_| text_of(&parts, 12, &mut state));
        let all: Vec<String> = fixed
            .iter()
            .map(|text| (*text).to_owned())
            .chain(generated)
            .collect();
        for text in all {
            let mut content = with_actions(1);
            content.subject.clone_from(&text);
            content.intro.clone_from(&text);
            content.closing.clone_from(&text);
            content.values = vec![(text.clone(), text.clone())];
            content.link.text.clone_from(&text);
            content.actions[0].label.clone_from(&text);
            let message = parsed(&content, Buttons::Callbacks);
            let (mut mentions, mut blocks) = (0, 0);
            texts(&message, "", &mut |key: &str, shown: &str| match key {
                "type" => {
                    assert!(TYPES.contains(&shown), "{shown} from {text:?}");
                    blocks += usize::from(shown == "TextBlock");
                }
                "url" => assert!(shown.starts_with("https://desk.example/"), "{shown}"),
                _ => {
                    mentions += shown.matches('<').count();
                    let is_free = !["{{", "${", "@{"].iter().any(|part| shown.contains(part));
                    assert!(is_free, "{shown} from {text:?}");
                    assert!(!shown.contains(char::is_control), "{shown:?}");
                }
            });
            // The mention is in the text block and in the list of mentions. Each has two signs.
            assert_eq!((mentions, blocks), (4, 1), "{text:?}");
        }
    }

    #[test]
    fn secrets_are_sent_with_tls_or_to_this_machine_only() {
        for (url, expected) in [
            ("https://smba.trafficmanager.net/teams", true),
            ("http://127.0.0.1:80/teams", true),
            ("http://[::1]:80/teams", true),
            ("http://localhost/teams", true),
            ("http://smba.trafficmanager.net/teams", false),
            ("http://127.0.0.1.example/", false),
            ("http://10.0.0.1/", false),
            ("https://user@smba.trafficmanager.net/", false),
            ("https://smba.trafficmanager.net/#x", false),
            ("ftp://127.0.0.1/", false),
        ] {
            assert_eq!(is_private(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_wait_is_a_number_of_seconds() {
        let response = |value: &str| HttpResponse {
            headers: vec![("retry-after".into(), value.into())],
            ..HttpResponse::default()
        };
        assert_eq!(wait_ms(&response("7")), Some(7_000));
        assert_eq!(wait_ms(&response("soon")), None);
        assert_eq!(wait_ms(&HttpResponse::default()), None);
    }
}
