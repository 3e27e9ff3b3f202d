//! Makes the cards of Feishu. A card is a message with texts and buttons.

use domain::notification::content::{Action, Content, labelled};
use serde_json::{Value, json};

use super::super::cut;
use super::TEXT_BYTES_MAX;

/// Maximum size of a card as JSON, in bytes.
pub(super) const CARD_BYTES_MAX: usize = 30_000;
/// Maximum size of the text of a button, in bytes. Feishu allows 100 characters.
const LABEL_BYTES_MAX: usize = 100;

/// Returns the card of a message as JSON text.
pub(in crate::channel) fn content(content: &Content) -> String {
    let callback =
        |action: &Action| json!({ "value": { "name": action.name, "value": action.value } });
    fit(content, CARD_BYTES_MAX, |content| {
        card(content, None, callback).to_string()
    })
}

/// Returns the result of `render` for the content, with at most `bytes_max` bytes if possible. Values are omitted from the
/// end until the result is small enough. A line with an ellipsis then shows that values are missing. The subject, the link
/// and the buttons are never omitted.
pub(in crate::channel) fn fit(
    content: &Content,
    bytes_max: usize,
    render: impl Fn(&Content) -> String,
) -> String {
    let mut content = Content {
        subject: cut(&content.subject, TEXT_BYTES_MAX),
        intro: cut(&content.intro, TEXT_BYTES_MAX),
        closing: cut(&content.closing, TEXT_BYTES_MAX),
        ..content.clone()
    };
    let mut kept = content.values.len();
    let mut rendered = render(&content);
    while rendered.len() > bytes_max && kept > 0 {
        kept -= 1;
        content.values.truncate(kept);
        content.values.push(("…".into(), String::new()));
        rendered = render(&content);
    }
    rendered
}

/// Returns the card of a message. `first` is an element before the text, if there is one. `effect` returns the members of a
/// button that define what the press of the button does. All texts are elements of the kind `plain_text`, in which no
/// character has a special meaning.
pub(in crate::channel) fn card(
    content: &Content,
    first: Option<Value>,
    effect: impl Fn(&Action) -> Value,
) -> Value {
    let mut elements: Vec<Value> = first.into_iter().collect();
    elements.push(json!({ "tag": "div", "text": plain_text(&content.intro) }));
    let field = |(label, value): &(String, String)| {
        let line = if value.is_empty() {
            label.clone()
        } else {
            labelled(label, value)
        };
        json!({ "is_short": false, "text": plain_text(&line) })
    };
    let fields: Vec<Value> = content.values.iter().map(field).collect();
    if !fields.is_empty() {
        elements.push(json!({ "tag": "div", "fields": fields }));
    }
    let button = |label: &str, is_primary: bool, effect: Value| {
        let kind = if is_primary { "primary" } else { "default" };
        let mut button = json!({
            "tag": "button",
            "type": kind,
            "text": plain_text(&cut(label, LABEL_BYTES_MAX)),
        });
        if let (Some(button), Value::Object(effect)) = (button.as_object_mut(), effect) {
            button.extend(effect);
        }
        button
    };
    let actions = content.actions.iter();
    let mut buttons: Vec<Value> = actions
        .map(|action| button(&action.label, action.is_primary, effect(action)))
        .collect();
    let link = json!({ "url": content.link.url });
    buttons.push(button(&content.link.text, content.actions.is_empty(), link));
    elements.push(json!({ "tag": "action", "actions": buttons }));
    if !content.closing.is_empty() {
        elements.push(json!({ "tag": "note", "elements": [plain_text(&content.closing)] }));
    }
    json!({
        // A card can be replaced later only if `update_multi` is true.
        "config": { "wide_screen_mode": true, "update_multi": true },
        "header": { "template": "blue", "title": plain_text(&content.subject) },
        "elements": elements,
    })
}

/// Returns an element with plain text. The character `<` is replaced by a similar full-width character, because old programs
/// of Feishu show a card as text, and a text can contain the mention `<at user_id="all">`.
fn plain_text(text: &str) -> Value {
    json!({ "tag": "plain_text", "content": text.replace('<', "＜") })
}
