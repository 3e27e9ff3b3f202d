//! Checks the blocks of a message as Slack does, and finds the control sequences in its texts (reference/notifications.md,
//! section 1.1).

use std::collections::BTreeSet;

use serde_json::Value;

/// Slack refuses a message near this sum of the lengths of all texts in its blocks.
const SUM_MAX: usize = 13_200;
const BLOCKS_MAX: usize = 50;

/// The error for blocks that do not have the right form.
const INVALID: &str = "invalid_blocks";

/// Returns the error of Slack for the blocks of a message.
pub(super) fn check(blocks: &Value) -> Result<(), &'static str> {
    let blocks = blocks.as_array().ok_or(INVALID)?;
    if blocks.len() > BLOCKS_MAX || !blocks.iter().all(is_block) {
        return Err(INVALID);
    }
    if blocks.iter().map(sum).sum::<usize>() > SUM_MAX {
        return Err("msg_blocks_too_long");
    }
    Ok(())
}

/// Returns the control sequences that Slack finds in the texts of a message, such as `!channel`, `@U123` or a URL.
pub(super) fn controls(message: &Value) -> Vec<String> {
    let mut found = Vec::new();
    add(message["text"].as_str().unwrap_or_default(), &mut found);
    find(&message["blocks"], &mut found);
    found
}

fn find(part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Array(items) => items.iter().for_each(|item| find(item, found)),
        Value::Object(members) => {
            if part["type"] == "mrkdwn" {
                add(part["text"].as_str().unwrap_or_default(), found);
            }
            members.values().for_each(|member| find(member, found));
        }
        _ => {}
    }
}

fn add(text: &str, found: &mut Vec<String>) {
    let begins = text.split('<').skip(1);
    let sequences = begins.filter_map(|rest| rest.split_once('>').map(|(inner, _)| inner));
    found.extend(sequences.map(|inner| inner.split('|').next().unwrap_or_default().to_owned()));
}

fn is_block(block: &Value) -> bool {
    match block["type"].as_str() {
        Some("divider") => true,
        Some("header") => is_plain(&block["text"], 150),
        Some("section") => {
            let fields = &block["fields"];
            let has_fields = has_items(fields, 10, |field| is_text(field, 2_000));
            match &block["text"] {
                Value::Null => has_fields,
                text => is_text(text, 3_000) && (fields.is_null() || has_fields),
            }
        }
        Some("context") => has_items(&block["elements"], 10, |element| is_text(element, 3_000)),
        Some("actions") => {
            let elements = &block["elements"];
            let ids = elements.as_array().into_iter().flatten();
            let ids: Vec<&str> = ids.filter_map(|one| one["action_id"].as_str()).collect();
            let distinct: BTreeSet<&&str> = ids.iter().collect();
            distinct.len() == ids.len() && has_items(elements, 25, is_button)
        }
        _ => false,
    }
}

fn is_button(button: &Value) -> bool {
    let is_at_most = |member: &str, most: usize| match &button[member] {
        Value::Null => true,
        Value::String(text) => (1..=most).contains(&text.chars().count()),
        _ => false,
    };
    let is_style = match &button["style"] {
        Value::Null => true,
        style => style == "primary" || style == "danger",
    };
    button["type"] == "button"
        && is_plain(&button["text"], 75)
        && is_at_most("value", 2_000)
        && is_at_most("url", 3_000)
        && is_at_most("action_id", 255)
        && is_style
}

fn has_items(list: &Value, most: usize, is_valid: fn(&Value) -> bool) -> bool {
    let items = list.as_array();
    items.is_some_and(|items| (1..=most).contains(&items.len()) && items.iter().all(is_valid))
}

fn is_plain(text: &Value, most: usize) -> bool {
    text["type"] == "plain_text" && is_text(text, most)
}

fn is_text(text: &Value, most: usize) -> bool {
    let length = text["text"].as_str().map_or(0, |text| text.chars().count());
    let is_kind = text["type"] == "plain_text" || text["type"] == "mrkdwn";
    is_kind && (1..=most).contains(&length)
}

fn sum(part: &Value) -> usize {
    match part {
        Value::Array(items) => items.iter().map(sum).sum(),
        Value::Object(members) => {
            let own = part["text"].as_str().map_or(0, |text| text.chars().count());
            own + members.values().map(sum).sum::<usize>()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(length: usize) -> Value {
        json!({ "type": "plain_text", "text": "字".repeat(length) })
    }

    fn header(length: usize) -> Value {
        json!({ "type": "header", "text": plain(length) })
    }

    fn section(fields: usize, length: usize) -> Value {
        json!({ "type": "section", "fields": vec![plain(length); fields] })
    }

    fn actions(button: &Value, count: usize) -> Value {
        let buttons = (0..count).map(|number| {
            let mut button = button.clone();
            if count > 1 {
                button["action_id"] = number.to_string().into();
            }
            button
        });
        json!({ "type": "actions", "elements": buttons.collect::<Vec<_>>() })
    }

    #[test]
    fn blocks_beyond_a_limit_are_refused() {
        let button = json!({ "type": "button", "text": plain(75), "action_id": "a", "value": "v" });
        let with = |member: &str, value: Value| {
            let mut button = button.clone();
            button[member] = value;
            json!([actions(&button, 1)])
        };
        let text = json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x" } });
        for (blocks, expected) in [
            (json!([header(150), text]), Ok(())),
            (json!([header(151)]), Err(INVALID)),
            (json!([header(0)]), Err(INVALID)),
            (json!([section(10, 1_000)]), Ok(())),
            (json!([section(11, 1)]), Err(INVALID)),
            (json!([section(0, 1)]), Err(INVALID)),
            (json!([section(1, 2_001)]), Err(INVALID)),
            (json!([section(7, 1_886)]), Err("msg_blocks_too_long")),
            (json!([section(6, 2_000), section(1, 1_200)]), Ok(())),
            (json!(vec![header(1); 50]), Ok(())),
            (json!(vec![header(1); 51]), Err(INVALID)),
            (json!([actions(&button, 25)]), Ok(())),
            (json!([actions(&button, 26)]), Err(INVALID)),
            (
                json!([{ "type": "actions", "elements": [button, button] }]),
                Err(INVALID),
            ),
            (with("text", plain(76)), Err(INVALID)),
            (with("value", "v".repeat(2_001).into()), Err(INVALID)),
            (with("url", "u".repeat(3_001).into()), Err(INVALID)),
            (with("action_id", "a".repeat(256).into()), Err(INVALID)),
            (with("style", "loud".into()), Err(INVALID)),
            (with("style", "danger".into()), Ok(())),
            (json!([{ "type": "video" }]), Err(INVALID)),
            (json!("x"), Err(INVALID)),
        ] {
            assert_eq!(check(&blocks), expected, "{blocks}");
        }
    }

    #[test]
    fn only_texts_with_markup_have_control_sequences() {
        let message = json!({
            "text": "<!channel> &lt;!here&gt;",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "<!everyone>" } },
                { "type": "section", "text": { "type": "mrkdwn", "text": "<@U1> <https://x|y> < a" } },
            ],
        });
        assert_eq!(controls(&message), ["!channel", "@U1", "https://x"]);
    }
}
