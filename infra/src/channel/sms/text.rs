//! Converts the content of a message to the text of a short message. Phones show each URL in a text as a link, so the
//! values of a ticket must not contain URLs.

use std::collections::BTreeMap;

use domain::notification::content::{Content, labelled, one_line};
use serde_json::Value;

use super::segments::segments;

/// The text in the place of values that are too long for the message. It has only characters of GSM-7.
const DOTS: &str = "...";

/// Returns `text` as one line in which a phone finds no URL. A space after each dot before a letter, and before `//`,
/// breaks a URL and leaves the text readable. The ellipsis becomes three dots, because GSM-7 does not contain it.
pub(super) fn clean(text: &str) -> String {
    let text = one_line(text).replace('…', DOTS);
    let chars: Vec<char> = text.chars().collect();
    let mut cleaned = String::with_capacity(text.len());
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        if *c == '/' && before == Some(&':') && after == Some(&'/') {
            cleaned.push(' ');
        }
        cleaned.push(*c);
        // A Chinese sentence has no space after its full stop, so only ASCII characters around a full stop form a host
        // name. Host names with other characters contain the dot of ASCII.
        let is_part = |other: &char| other.is_alphanumeric() && (*c == '.' || other.is_ascii());
        if matches!(*c, '.' | '。' | '．' | '｡')
            && before.is_some_and(is_part)
            && after.is_some_and(|other| other.is_alphabetic() && is_part(other))
        {
            cleaned.push(' ');
        }
    }
    cleaned
}

/// Returns the text of a message with at most `most` segments. Every text has the subject and the link. Then come the
/// actions and the values of the ticket, as far as they fit. Dots show that values are missing. If the message has a body,
/// the first line of the body replaces the subject, and the other lines replace the values.
pub(super) fn text(content: &Content, most: usize) -> String {
    let mut body = content.body.iter().filter(|line| !line.is_empty());
    let subject = match body.next() {
        Some(first) => clean(first),
        None => clean(&format!("{} {}", content.thread, content.subject)),
    };
    let fits = |lines: &[String]| segments(&lines.join("\n")).segments <= most;
    let mut end = vec![labelled(&clean(&content.link.text), &content.link.url)];
    let with = |subject: &str, values: &[String], end: &[String]| -> Vec<String> {
        let mut lines = vec![subject.to_owned()];
        lines.extend_from_slice(values);
        lines.extend_from_slice(end);
        lines
    };
    if !fits(&with(&subject, &[], &end)) {
        let count = subject.chars().count();
        let mut parts = (1..count).rev().map(|count| {
            let part: String = subject.chars().take(count).collect();
            with(&format!("{}{DOTS}", part.trim_end()), &[], &end)
        });
        let fitting = parts.find(|lines| fits(lines));
        return fitting.unwrap_or_else(|| end.clone()).join("\n");
    }
    for action in &content.actions {
        let line = labelled(&clean(&action.label), &action.url);
        end.push(line);
        if !fits(&with(&subject, &[], &end)) {
            end.pop();
        }
    }
    let values: Vec<String> = if content.body.is_empty() {
        let values = content.values.iter();
        values
            .map(|(label, value)| clean(&labelled(label, value)))
            .collect()
    } else {
        body.map(|line| clean(line)).collect()
    };
    for count in (0..=values.len()).rev() {
        let mut kept = values[..count].to_vec();
        if count < values.len() {
            kept.push(DOTS.to_owned());
        }
        let lines = with(&subject, &kept, &end);
        if fits(&lines) {
            return lines.join("\n");
        }
    }
    with(&subject, &[], &end).join("\n")
}

/// Returns the value of each placeholder.
pub(super) fn values(
    content: &Content,
    to: &str,
    id: &str,
    most: usize,
) -> BTreeMap<&'static str, String> {
    [
        ("text", text(content, most)),
        ("link", content.link.url.clone()),
        ("id", id.to_owned()),
        ("to", to.to_owned()),
        ("phone", to.trim_start_matches('+').to_owned()),
        ("ticket", clean(&content.thread)),
        ("subject", clean(&content.subject)),
        ("closing", clean(&content.closing)),
    ]
    .into()
}

/// Replaces the placeholders in a text. A value that looks like a placeholder is not replaced. Returns the name of the
/// first unknown placeholder as an error.
pub(super) fn filled(template: &str, values: &BTreeMap<&str, String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, end) = after.split_once('}').ok_or_else(|| after.to_owned())?;
        let value = values.get(name).ok_or_else(|| name.to_owned())?;
        filled.push_str(before);
        filled.push_str(value);
        rest = end;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Replaces the placeholders in all texts of a JSON value, and leaves the names of members unchanged.
pub(super) fn filled_value(
    template: &Value,
    values: &BTreeMap<&str, String>,
) -> Result<Value, String> {
    Ok(match template {
        Value::String(text) => filled(text, values)?.into(),
        Value::Array(items) => {
            let items = items.iter().map(|item| filled_value(item, values));
            Value::Array(items.collect::<Result<_, String>>()?)
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| {
                let member = filled_value(member, values)?;
                Ok((name.clone(), member))
            });
            Value::Object(members.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use domain::notification::content::Action;

    use super::super::super::contract::{content, text_of};
    use super::*;

    #[test]
    fn ticket_texts_contain_no_url_that_a_phone_shows_as_a_link() {
        for (text, expected) in [
            (
                "see https://evil.example/x?a=1",
                "see https: //evil. example/x?a=1",
            ),
            ("HTTP://10.0.0.8/x", "HTTP: //10.0.0.8/x"),
            ("www.evil.com", "www. evil. com"),
            ("evil。com and evil．com", "evil。 com and evil． com"),
            ("例子.中国", "例子. 中国"),
            ("您好。请审批。", "您好。请审批。"),
            ("version 1.2.3, a. b", "version 1.2.3, a. b"),
            ("a\r\nb\u{202e}c…", "a b c..."),
            (
                "${to} <!channel> @all [x](y)",
                "${to} <!channel> @all [x](y)",
            ),
        ] {
            assert_eq!(clean(text), expected, "{text}");
        }
        // A small generator of texts: each one is made of parts that form URLs and lines.
        let parts = [
            "http", ":", "//", ".", "com", "a", "例", " ", "\n", "。", "1",
        ];
        let mut seed = 1_u64;
        for _ in 0..2_000 {
            let text = text_of(&parts, 8, &mut seed);
            let cleaned = clean(&text);
            assert!(!cleaned.contains("://"), "{text:?}: {cleaned}");
            assert!(!cleaned.contains(['\n', '\r']), "{text:?}: {cleaned}");
            assert!(
                !cleaned.contains("a.com") && !cleaned.contains("例.com"),
                "{text:?}: {cleaned}"
            );
        }
    }

    #[test]
    fn a_text_keeps_its_subject_link_and_actions_before_its_values() {
        let mut content = content();
        let link = "打开工单：https://desk.example/tickets/REQ1";
        assert_eq!(
            text(&content, 4),
            format!("REQ1 请审批: 申请权限\n优先级：高\n{link}")
        );
        content.values = vec![
            ("说明".into(), "字".repeat(80)),
            ("说明".into(), "字".repeat(300)),
        ];
        content.actions = vec![Action {
            name: "approve".into(),
            label: "同意".into(),
            is_primary: true,
            url: "https://desk.example/a/1".into(),
            value: "v".into(),
        }];
        let shown = text(&content, 4);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 5, "{shown}");
        assert_eq!((lines[2], lines[3]), (DOTS, link));
        assert_eq!(lines[4], "同意：https://desk.example/a/1");
        assert!(segments(&shown).segments <= 4, "{shown}");
        // Two segments have no space for the values.
        let shown = text(&content, 2);
        assert_eq!(
            shown,
            format!("REQ1 请审批: 申请权限\n{DOTS}\n{link}\n同意：https://desk.example/a/1")
        );
        // One segment has only space for a part of the subject and the link.
        content.subject = "申请权限".repeat(20);
        let shown = text(&content, 1);
        assert!(shown.starts_with("REQ1 申请"), "{shown}");
        assert!(shown.ends_with(&format!("{DOTS}\n{link}")), "{shown}");
        assert_eq!(segments(&shown).segments, 1, "{shown}");
        // A link that is longer than the message remains complete.
        content.link.url = format!("https://desk.example/{}", "x".repeat(100));
        assert!(text(&content, 1).ends_with(&content.link.url));
    }

    #[test]
    fn a_body_replaces_the_subject_and_the_values() {
        let mut content = content();
        content.body = ["工单 REQ1", "", "见 evil.example"]
            .map(String::from)
            .to_vec();
        let link = "打开工单：https://desk.example/tickets/REQ1";
        let expected = format!("工单 REQ1\n见 evil. example\n{link}");
        assert_eq!(text(&content, 4), expected);
        assert_eq!(text(&content.flattened(), 4), expected);
        content.body[2] = "字".repeat(400);
        let shown = text(&content, 2);
        assert_eq!(shown, format!("工单 REQ1\n{DOTS}\n{link}"));
    }

    #[test]
    fn the_ellipsis_does_not_change_the_encoding() {
        let mut content = content();
        content.subject = "approve".into();
        content.values = vec![("text".into(), "a".repeat(500))];
        content.link.text = "open".into();
        let shown = text(&content, 10);
        assert!(shown.contains("aaa..."), "{shown}");
        assert_eq!(
            segments(&shown).encoding,
            super::super::segments::Encoding::Gsm7
        );
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_is_not_replaced() {
        let mut content = content();
        content.subject = "${to}".into();
        let values = values(&content, "+8613800000000", "id", 4);
        let filled = |template| filled(template, &values);
        assert_eq!(
            filled("<${subject}|${phone}>"),
            Ok("<${to}|8613800000000>".into())
        );
        assert_eq!(filled("x ${unknown}"), Err("unknown".into()));
        assert_eq!(filled("x ${to"), Err("to".into()));
        assert_eq!(filled("5 $ {to}"), Ok("5 $ {to}".into()));
    }
}
