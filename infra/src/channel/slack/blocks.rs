//! Converts the content of a message to the blocks of Slack (Block Kit; reference/notifications.md, section 1.1).
//!
//! Texts of tickets are in text objects of the type `plain_text`. Slack shows these texts as they are: without mentions, links
//! and formats. Only sentences of the desk are in text objects of the type `mrkdwn`, and their special characters are
//! escaped.

use domain::notification::content::{Action, Content, Link, labelled};
use serde_json::{Value, json};

/// The `action_id` of each button is this text and the name of the action.
pub const ACTION_PREFIX: &str = "ledgerdesk:";
/// Maximum sum of the lengths of all texts, values and addresses in the blocks of one message. Slack refuses a message near
/// 13,200 characters, although the limits of the single texts allow more (reference/notifications.md, section 1.1).
pub const SIZE_MAX: usize = 12_000;

/// Maximum lengths and numbers of Slack (reference/notifications.md, section 1.1).
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELDS_MAX: usize = 10;
const FIELD_MAX: usize = 2_000;
const BUTTONS_MAX: usize = 25;
const LABEL_MAX: usize = 75;
const VALUE_MAX: usize = 2_000;
const URL_MAX: usize = 3_000;
const ACTION_ID_MAX: usize = 255;
const BLOCKS_MAX: usize = 50;

/// Maximum length of the first and the last sentence. The rest of [`SIZE_MAX`] is for buttons and values.
const SENTENCE_MAX: usize = 1_000;
/// Maximum number of values: all blocks except the header, the two sentences, the link and the buttons contain values.
const VALUES_MAX: usize = (BLOCKS_MAX - 5) * FIELDS_MAX;
/// A message without some of its values contains this text in their place.
const ELLIPSIS: &str = "…";

/// The kind of buttons that a message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buttons {
    /// Slack reports the press of a button, with the value of the action.
    Callbacks,
    /// A button opens a page of the desk.
    Links,
}

/// Returns the members `text` and `blocks` of a message. Slack shows `text` in notifications of the operating system. If
/// `mention` is the id of a person, the message mentions this person.
pub fn message(content: &Content, mention: Option<&str>, buttons: Buttons) -> Value {
    json!({
        "text": escaped(shown(&content.subject), SECTION_MAX),
        "blocks": blocks(content, mention, buttons),
    })
}

/// Returns the sum of the lengths of all texts, values and addresses in a part of a message.
pub fn size(part: &Value) -> usize {
    match part {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match member {
                Value::String(text) if matches!(name.as_str(), "text" | "value" | "url") => {
                    length(text)
                }
                member => size(member),
            })
            .sum(),
        _ => 0,
    }
}

fn blocks(content: &Content, mention: Option<&str>, buttons: Buttons) -> Vec<Value> {
    let header = plain_text(plain(shown(&content.subject), HEADER_MAX));
    let mut first = vec![json!({ "type": "header", "text": header })];
    first.extend(intro(content, mention));
    let mut last = vec![json!({ "type": "section", "text": link(&content.link) })];
    if !content.closing.trim().is_empty() {
        let closing = plain_text(plain(&content.closing, SENTENCE_MAX));
        last.push(json!({ "type": "context", "elements": [closing] }));
    }
    let fixed: usize = first.iter().chain(&last).map(size).sum();
    let mut left = SIZE_MAX.saturating_sub(fixed);

    // The actions are in the order from the most to the least usual. Values are dropped before buttons.
    let mut elements = Vec::new();
    for action in content.actions.iter().take(BUTTONS_MAX) {
        if let Some(button) = button(action, buttons)
            && let Some(rest) = left.checked_sub(size(&button))
        {
            left = rest;
            elements.push(button);
        }
    }
    if !elements.is_empty() {
        last.push(json!({ "type": "actions", "elements": elements }));
    }
    let fields = fields(&content.values, left);
    let sections = fields
        .chunks(FIELDS_MAX)
        .map(|fields| json!({ "type": "section", "fields": fields }));
    first.extend(sections);
    first.extend(last);
    first
}

/// Returns the block with the first sentence. Returns `None` if the block would be empty.
fn intro(content: &Content, mention: Option<&str>) -> Option<Value> {
    let text = match mention {
        Some(person) => {
            let intro = escaped(&content.intro, SENTENCE_MAX);
            mrkdwn(format!("<@{person}> {intro}"))
        }
        None if content.intro.trim().is_empty() => return None,
        None => plain_text(plain(&content.intro, SENTENCE_MAX)),
    };
    Some(json!({ "type": "section", "text": text }))
}

/// Returns the values of the ticket with a total length of at most `most`. If values are missing, the last field is an
/// ellipsis.
fn fields(values: &[(String, String)], most: usize) -> Vec<Value> {
    let mut fields = Vec::new();
    let Some(mut left) = most.checked_sub(length(ELLIPSIS)) else {
        return fields;
    };
    for (label, value) in values {
        let text = plain(&labelled(label, value), FIELD_MAX);
        if text.is_empty() {
            continue;
        }
        match left.checked_sub(length(&text)) {
            Some(rest) if fields.len() + 1 < VALUES_MAX => {
                left = rest;
                fields.push(plain_text(text));
            }
            _ => {
                fields.push(plain_text(ELLIPSIS.to_owned()));
                break;
            }
        }
    }
    fields
}

/// Returns the text object with the link to the ticket. A link that is too long for Slack is only a text.
fn link(link: &Link) -> Value {
    let text = shown(&link.text);
    let linked = format!("<{}|{}>", address(&link.url), escaped(text, LABEL_MAX));
    if link.url.is_empty() || length(&linked) > SECTION_MAX {
        plain_text(plain(text, LABEL_MAX))
    } else {
        mrkdwn(linked)
    }
}

/// Returns a button, or `None` if Slack would refuse its id, its value or its address.
fn button(action: &Action, buttons: Buttons) -> Option<Value> {
    let id = format!("{ACTION_PREFIX}{}", action.name);
    let (member, target, most) = match buttons {
        Buttons::Callbacks => ("value", &action.value, VALUE_MAX),
        Buttons::Links => ("url", &action.url, URL_MAX),
    };
    if length(&id) > ACTION_ID_MAX || !(1..=most).contains(&length(target)) {
        return None;
    }
    let label = plain_text(plain(shown(&action.label), LABEL_MAX));
    let mut button = json!({ "type": "button", "action_id": id, "text": label });
    button[member] = target.as_str().into();
    if action.is_primary {
        button["style"] = "primary".into();
    }
    Some(button)
}

fn plain_text(text: String) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// Returns a text object in which Slack interprets only the links and mentions of the desk. `verbatim` switches off the
/// automatic links to addresses and to names of channels.
fn mrkdwn(text: String) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// Returns the text, or an ellipsis if the text is empty. Slack refuses empty texts.
fn shown(text: &str) -> &str {
    if text.trim().is_empty() {
        ELLIPSIS
    } else {
        text
    }
}

/// Returns the length of a text in UTF-16 code units. This length is at least the number of characters, so a text is never
/// longer for Slack than it is here.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Returns a text for a text object of the type `plain_text`, with a length of at most `most`.
fn plain(text: &str, most: usize) -> String {
    fitted(text, most, String::from)
}

/// Returns a text for a text object of the type `mrkdwn`, with a length of at most `most`. Slack needs entities for `&`, `<`
/// and `>`. The characters of formats have no entities, so similar full-width characters replace them.
fn escaped(text: &str, most: usize) -> String {
    fitted(text, most, |c| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '*' => '＊'.into(),
        '_' => '＿'.into(),
        '~' => '～'.into(),
        '`' => '｀'.into(),
        c => c.into(),
    })
}

/// Converts each character of a text. If the result is longer than `most`, it is cut and ends with an ellipsis. A converted
/// character is never cut.
fn fitted(text: &str, most: usize, converted: fn(char) -> String) -> String {
    let pieces: Vec<String> = text.chars().map(converted).collect();
    let whole = pieces.concat();
    if length(&whole) <= most {
        return whole;
    }
    let mut left = most.saturating_sub(length(ELLIPSIS));
    let mut kept = String::new();
    for piece in &pieces {
        let Some(rest) = left.checked_sub(length(piece)) else {
            break;
        };
        left = rest;
        kept.push_str(piece);
    }
    format!("{}{ELLIPSIS}", kept.trim_end())
}

/// Returns a URL for a link. Characters that would end the link are percent-encoded.
fn address(url: &str) -> String {
    let converted = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "%3C".to_owned(),
        '>' => "%3E".to_owned(),
        '|' => "%7C".to_owned(),
        c if c.is_whitespace() || c.is_control() => "%20".to_owned(),
        c => c.to_string(),
    };
    url.chars().map(converted).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::contract::{content, text_of};
    use super::*;

    const NASTY: [&str; 10] = [
        "<!channel> <!here> <!everyone> <!subteam^S1>",
        "@all @channel @here @everyone",
        "<@U0000ROOT> <#C0000OPS> <https://evil.example|打开工单>",
        "[打开工单](https://evil.example) https://evil.example",
        "*b* _i_ ~s~ `c` ```x``` &lt;!channel&gt; &amp;",
        "\"}],\"text\":\"<!channel>\",\"x\":[{\"a\":\"",
        "\\u003c!channel\\u003e \u{0} \u{7}",
        "a\r\n> quote\n• list\n---",
        "</text><b>x</b> <>|<|>",
        "👍🏽字\u{202e}\u{feff}…",
    ];

    fn action(name: &str) -> Action {
        Action {
            name: name.into(),
            label: "批准".into(),
            is_primary: name == "approve",
            url: format!("https://desk.example/confirm/{name}?a=1&b=2"),
            value: format!("v1.{name}.sign"),
        }
    }

    /// Returns all text objects of a message.
    fn texts(part: &Value, found: &mut Vec<(String, String)>) {
        match part {
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(members) => {
                if let (Some(Value::String(kind)), Some(Value::String(text))) =
                    (members.get("type"), members.get("text"))
                {
                    found.push((kind.clone(), text.clone()));
                }
                members.values().for_each(|member| texts(member, found));
            }
            _ => {}
        }
    }

    fn kinds(blocks: &[Value]) -> Vec<&str> {
        let kinds = blocks.iter().map(|block| block["type"].as_str());
        kinds.map(Option::unwrap).collect()
    }

    /// Checks the limits of Slack, and that all control sequences are those of the desk.
    fn check(content: &Content, mention: Option<&str>, buttons: Buttons) {
        let message = message(content, mention, buttons);
        let blocks = message["blocks"].as_array().unwrap();
        assert!((2..=BLOCKS_MAX).contains(&blocks.len()));
        assert!(size(&message["blocks"]) <= SIZE_MAX);
        let fallback = message["text"].as_str().unwrap();
        assert!(
            !fallback.is_empty() && !fallback.contains(['<', '>', '*', '`']),
            "{fallback}"
        );
        let mut found = Vec::new();
        texts(&message, &mut found);
        let mut controls = 0;
        for (kind, text) in &found {
            assert!((1..=SECTION_MAX).contains(&length(text)), "{text}");
            if kind == "mrkdwn" {
                controls += text.matches('<').count();
                assert!(!text.contains("<!"), "{text}");
                let is_entity =
                    |part: &str| ["amp;", "lt;", "gt;"].iter().any(|e| part.starts_with(e));
                assert!(text.split('&').skip(1).all(is_entity), "{text}");
            } else {
                assert_eq!(kind, "plain_text");
            }
        }
        let expected = usize::from(mention.is_some()) + usize::from(!content.link.url.is_empty());
        assert_eq!(controls, expected, "{found:?}");
        for block in blocks {
            let count = |member: &str| block[member].as_array().map_or(0, Vec::len);
            match block["type"].as_str().unwrap() {
                "header" => assert!(length(block["text"]["text"].as_str().unwrap()) <= HEADER_MAX),
                "section" => assert!(count("fields") <= FIELDS_MAX),
                "context" => assert_eq!(count("elements"), 1),
                "actions" => assert!((1..=BUTTONS_MAX).contains(&count("elements"))),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_message_has_a_header_fields_a_link_and_buttons() {
        let mut content = content();
        content.actions = vec![action("approve"), action("refuse")];
        let message = message(&content, Some("U0000LISI"), Buttons::Callbacks);
        let expected = json!({
            "text": "请审批: 申请权限",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "请审批: 申请权限", "emoji": false } },
                { "type": "section", "text": { "type": "mrkdwn", "text": "<@U0000LISI> lisi，您好。", "verbatim": true } },
                { "type": "section", "fields": [{ "type": "plain_text", "text": "优先级：高", "emoji": false }] },
                { "type": "section", "text": {
                    "type": "mrkdwn", "text": "<https://desk.example/tickets/REQ1|打开工单>", "verbatim": true } },
                { "type": "context", "elements": [{ "type": "plain_text", "text": "您是节点的处理人。", "emoji": false }] },
                { "type": "actions", "elements": [
                    { "type": "button", "action_id": "ledgerdesk:approve", "style": "primary", "value": "v1.approve.sign",
                      "text": { "type": "plain_text", "text": "批准", "emoji": false } },
                    { "type": "button", "action_id": "ledgerdesk:refuse", "value": "v1.refuse.sign",
                      "text": { "type": "plain_text", "text": "批准", "emoji": false } },
                ] },
            ],
        });
        assert_eq!(message, expected);
    }

    #[test]
    fn buttons_of_a_webhook_open_pages_of_the_desk() {
        let mut content = content();
        content.actions = vec![action("approve")];
        let message = message(&content, None, Buttons::Links);
        let blocks = message["blocks"].as_array().unwrap();
        let button = &blocks.last().unwrap()["elements"][0];
        assert_eq!(
            button["url"],
            "https://desk.example/confirm/approve?a=1&b=2"
        );
        assert!(button.get("value").is_none());
        let intro = json!({ "type": "plain_text", "text": "lisi，您好。", "emoji": false });
        assert_eq!(blocks[1]["text"], intro);
    }

    #[test]
    fn ticket_text_adds_no_control_sequences() {
        for nasty in NASTY {
            let mut content = content();
            content.subject = nasty.into();
            content.intro = nasty.into();
            content.closing = nasty.into();
            content.values = vec![(nasty.into(), nasty.into())];
            content.link.text = nasty.into();
            content.actions = vec![action("approve")];
            content.actions[0].label = nasty.into();
            check(&content, Some("U0000LISI"), Buttons::Callbacks);
            check(&content, None, Buttons::Links);
            content.link.url = format!("https://desk.example/{nasty}");
            check(&content, None, Buttons::Callbacks);
        }
    }

    /// A linear congruential generator.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % bound
        }

        fn text(&mut self, most: usize) -> String {
            const PARTS: [&str; 16] = [
                "<", ">", "&", "!", "@", "|", "*", "`", "channel", "U0", "字", "👍", "\"", "\\",
                "\n", "a b",
            ];
            let count = self.below(most + 1);
            text_of(&PARTS, count, &mut self.0)
        }
    }

    #[test]
    fn generated_messages_keep_all_limits_of_slack() {
        let mut numbers = Numbers(7);
        for _ in 0..300 {
            let mut content = content();
            content.subject = numbers.text(400);
            content.intro = numbers.text(3_000);
            content.closing = numbers.text(3_000);
            content.link.text = numbers.text(200);
            for _ in 0..numbers.below(600) {
                content.values.push((numbers.text(9), numbers.text(60)));
            }
            for _ in 0..numbers.below(40) {
                let mut action = action("x");
                action.name = numbers.text(200);
                action.label = numbers.text(200);
                action.value = "v".repeat(numbers.below(2_100));
                action.url = "u".repeat(numbers.below(3_100));
                content.actions.push(action);
            }
            let mention = (numbers.below(2) == 1).then_some("U0000LISI");
            check(&content, mention, Buttons::Callbacks);
            check(&content, mention, Buttons::Links);
        }
    }

    #[test]
    fn values_are_dropped_from_the_end_and_buttons_are_kept() {
        let mut content = content();
        content.values = (0..50)
            .map(|n| (format!("字段{n}"), "字".repeat(400)))
            .collect();
        content.actions = vec![action("approve"), action("refuse")];
        let message = message(&content, None, Buttons::Callbacks);
        let blocks = message["blocks"].as_array().unwrap();
        assert_eq!(
            kinds(blocks),
            [
                "header", "section", "section", "section", "section", "section", "context",
                "actions"
            ]
        );
        let fields: Vec<&str> = blocks
            .iter()
            .filter_map(|block| block["fields"].as_array())
            .flatten()
            .map(|field| field["text"].as_str().unwrap())
            .collect();
        assert_eq!(fields.last(), Some(&ELLIPSIS));
        assert!(fields[0].starts_with("字段0: 字"));
        assert_eq!(fields.len(), 30, "29 values and the ellipsis");
        assert_eq!(blocks[7]["elements"].as_array().unwrap().len(), 2);
        assert!(size(&message["blocks"]) > SIZE_MAX - 420);
    }

    #[test]
    fn a_cut_text_ends_with_an_ellipsis_and_keeps_entities_whole() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("<<<", 12, "&lt;&lt;&lt;"),
            ("<<<", 11, "&lt;&lt;…"),
            ("<<<", 4, "…"),
            ("👍👍", 4, "👍👍"),
            ("👍👍", 3, "👍…"),
            ("a  b", 3, "a…"),
            ("a_b*", 9, "a＿b＊"),
        ] {
            assert_eq!(escaped(text, most), expected, "{text} {most}");
        }
        assert_eq!(plain("<!channel>", 10), "<!channel>");
    }

    #[test]
    fn a_button_that_slack_would_refuse_is_left_out() {
        let mut wrong = vec![action("x"), action("x"), action("x")];
        wrong[0].value = "v".repeat(VALUE_MAX + 1);
        wrong[1].value = String::new();
        wrong[2].name = "n".repeat(ACTION_ID_MAX);
        for action in wrong {
            assert_eq!(button(&action, Buttons::Callbacks), None);
        }
        let mut long = action("x");
        long.url = "u".repeat(URL_MAX + 1);
        assert_eq!(button(&long, Buttons::Links), None);
        let mut content = content();
        content.link.url = format!("https://desk.example/{}", "x".repeat(SECTION_MAX));
        assert_eq!(link(&content.link)["type"], "plain_text");
    }
}
