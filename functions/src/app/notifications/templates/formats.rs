//! Defines the locales and the formats of notification templates, and checks the texts of a version. A format is a
//! kind of message, such as an e-mail or a short message (SMS).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use domain::notification::content::joined;
use events::notification_template::{Text, Texts};
use events::person::Language;

use super::engine::{self, Purpose, VARIABLES, Values};

/// The locales of a template.
pub const LOCALES: &[&str] = &["zh-CN", "en"];

/// The formats of a template. `wechat` and `dingtalk` are special cases of `chat`.
pub const FORMATS: &[&str] = &[
    "default", "email", "chat", "wechat", "dingtalk", "sms", "push",
];

/// Maximum length of a value of a ticket in a message, in characters.
const VALUE_MAX: usize = 400;
/// The assumed maximum length of the other values, in characters.
const SHORT_VALUE_MAX: usize = 64;
/// Maximum length of a short message (SMS), in UTF-16 units: two segments.
const SMS_UNITS_MAX: usize = 134;
/// Maximum length of a push message, in characters.
const PUSH_CHARS_MAX: usize = 200;
/// Maximum length of a message of DingTalk, in bytes.
const DINGTALK_BYTES_MAX: usize = 20_000;
/// Maximum length of a Markdown message of WeCom, in bytes.
const WECOM_BYTES_MAX: usize = 4_096;

/// The mark in the place of a masked value.
pub const MASK: &str = "***";
/// The variables whose values a text can mask. The other ones are parts of each message, such as its link.
pub const MASKABLE: [&str; 10] = [
    "ticket.title",
    "ticket.priority",
    "ticket.description",
    "ticket.status",
    "ticket.service",
    "ticket.node",
    "context.related_cis",
    "context.impacted_services",
    "context.sla_deadline",
    "assignee.name",
];

/// An error in one text of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The JSON pointer (RFC 6901) of the text below `texts`, such as `/en/sms/body`.
    pub field: String,
    pub reason: String,
}

/// A rendered text. The body consists of lines of plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The subject, or an empty text if the template has no subject.
    pub subject: String,
    pub body: Vec<String>,
}

/// Returns the locale of a language.
pub fn locale(language: Language) -> &'static str {
    match language {
        Language::Chinese => "zh-CN",
        Language::English => "en",
    }
}

/// Returns the format of the messages of a channel. Every unknown channel shows chat messages.
pub fn format_of(channel: &str) -> &'static str {
    match channel {
        "email" => "email",
        "sms" => "sms",
        "fcm" | "apns" => "push",
        "public_account" => "wechat",
        _ if channel.starts_with("wecom") => "wechat",
        _ if channel.starts_with("dingtalk") => "dingtalk",
        _ => "chat",
    }
}

/// Returns true if the messages of a channel show the body of a message itself. The messages of other channels show its
/// lines as values.
pub fn has_own_body(channel: &str) -> bool {
    matches!(format_of(channel), "email" | "sms" | "push")
}

/// Returns true if the messages of a format may show the body of their text. A locked phone shows push messages, so only
/// a text of the format `push` may be their body. A more general text can contain values that a locked phone must not
/// show.
pub fn shows_body(texts: &Texts, locale: &str, format: &str) -> bool {
    let formats = texts.get(locale);
    format != "push" || formats.is_some_and(|formats| formats.contains_key(format))
}

/// Returns the text for a locale and a format. If the format has no text, the text of a more general format is used. If
/// the locale has no text, returns `None`, because a person does not get a text in another language.
pub fn text_of<'a>(texts: &'a Texts, locale: &str, format: &str) -> Option<&'a Text> {
    let formats = texts.get(locale)?;
    let chat = matches!(format, "wechat" | "dingtalk").then_some("chat");
    let names = [Some(format), chat, Some("default")];
    names
        .into_iter()
        .flatten()
        .find_map(|name| formats.get(name))
}

/// Returns the values with the mark [`MASK`] in the place of each value that the text masks. A variable without a value
/// keeps none.
pub fn masked(text: &Text, values: &Arc<Values>) -> Arc<Values> {
    if text.masked.is_empty() {
        return values.clone();
    }
    let mut shown = (**values).clone();
    for name in &text.masked {
        if let Some(value) = shown.get_mut(name.as_str()) {
            MASK.clone_into(value);
        }
    }
    Arc::new(shown)
}

/// Renders the subject and the body of a text. The result does not contain the values that the text masks.
pub fn rendered(
    text: &Text,
    values: &Arc<Values>,
    purpose: Purpose,
) -> Result<Rendered, engine::Flaw> {
    let values = &masked(text, values);
    let subject = engine::render(&text.subject, values, purpose)?;
    let body = engine::render(&text.body, values, purpose)?;
    Ok(Rendered {
        subject: joined(&subject),
        body: lines(&body),
    })
}

/// Splits a rendered text into lines. Empty lines at its beginning and its end are removed.
fn lines(text: &str) -> Vec<String> {
    text.trim().lines().map(joined).collect()
}

/// The longest values that a message can contain.
pub static LONGEST: LazyLock<Arc<Values>> = LazyLock::new(|| {
    let longest = |name: &'static str| {
        let is_text = matches!(
            name,
            "ticket.title"
                | "ticket.description"
                | "ticket.priority"
                | "ticket.status"
                | "ticket.service"
                | "ticket.node"
                | "context.related_cis"
                | "context.impacted_services"
                | "context.sla_deadline"
        );
        let most = if is_text { VALUE_MAX } else { SHORT_VALUE_MAX };
        (name, "字".repeat(most))
    };
    Arc::new(VARIABLES.map(longest).into_iter().collect())
});

/// Checks all texts of a version with the longest values. Returns all errors.
pub fn check(texts: &Texts) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if texts.values().all(BTreeMap::is_empty) {
        wrong.push(Wrong {
            field: String::new(),
            reason: "at least one locale must have a text".into(),
        });
    }
    for (locale, formats) in texts {
        if !LOCALES.contains(&locale.as_str()) {
            wrong.push(Wrong {
                field: format!("/{locale}"),
                reason: format!(
                    "{locale:?} is not a locale; known are {}",
                    LOCALES.join(", ")
                ),
            });
            continue;
        }
        for (format, text) in formats {
            let field = format!("/{locale}/{format}");
            if FORMATS.contains(&format.as_str()) {
                wrong.extend(check_text(&field, format, text));
            } else {
                let known = FORMATS.join(", ");
                let reason = format!("{format:?} is not a format; known are {known}");
                wrong.push(Wrong { field, reason });
            }
        }
    }
    wrong
}

fn check_text(at: &str, format: &str, text: &Text) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut masks = text.masked.iter();
    if let Some(name) = masks.find(|name| !MASKABLE.contains(&name.as_str())) {
        let known = MASKABLE.join(", ");
        wrong.push(Wrong {
            field: format!("{at}/masked"),
            reason: format!("{name:?} cannot be masked; the variables that can be are {known}"),
        });
    }
    let longest = masked(text, &LONGEST);
    for (member, source) in [("subject", &text.subject), ("body", &text.body)] {
        let field = format!("{at}/{member}");
        match engine::check(source, &longest) {
            Ok(longest) if member == "body" => {
                let reason = if longest.trim().is_empty() {
                    Some("the text is empty".to_owned())
                } else {
                    too_long(format, &lines(&longest).join("\n"))
                };
                wrong.extend(reason.map(|reason| Wrong { field, reason }));
            }
            Ok(_) => {}
            Err(flaws) => wrong.extend(flaws.into_iter().map(|flaw| Wrong {
                field: field.clone(),
                reason: flaw.to_string(),
            })),
        }
    }
    wrong
}

/// Returns the reason why a rendered text is too long for a format. Returns `None` if it fits.
pub(super) fn too_long(format: &str, longest: &str) -> Option<String> {
    let (length, most, unit) = match format {
        "sms" => (
            longest.encode_utf16().count(),
            SMS_UNITS_MAX,
            "UTF-16 units (two segments of a short message)",
        ),
        "push" => (longest.chars().count(), PUSH_CHARS_MAX, "characters"),
        "dingtalk" => (longest.len(), DINGTALK_BYTES_MAX, "bytes"),
        "wechat" | "chat" => (longest.len(), WECOM_BYTES_MAX, "bytes"),
        _ => return None,
    };
    (length > most).then(|| {
        format!(
            "the text can have {length} {unit}, and the most are {most}; shorten values, for example {{{{ ticket.title|truncate(30) }}}}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(locale: &str, format: &str, body: &str) -> Texts {
        let text = Text {
            body: body.into(),
            ..Text::default()
        };
        let formats = BTreeMap::from([(format.to_owned(), text)]);
        BTreeMap::from([(locale.to_owned(), formats)])
    }

    #[test]
    fn the_longest_text_of_each_format_is_bounded() {
        for (format, body, fits) in [
            ("sms", "{{ ticket.title }}", false),
            (
                "sms",
                "{{ ticket.id }}: {{ ticket.title|truncate(40) }}",
                true,
            ),
            ("push", "{{ ticket.title|truncate(201) }}", false),
            ("push", "{{ ticket.title|truncate(200) }}", true),
            (
                "wechat",
                "{{ ticket.title }}{{ ticket.title }}{{ ticket.title }}{{ ticket.node }}",
                false,
            ),
            (
                "chat",
                "{{ ticket.title }}{{ ticket.title }}{{ ticket.title }}",
                true,
            ),
            (
                "dingtalk",
                "{{ ticket.title }}{{ ticket.title }}{{ ticket.title }}{{ ticket.node }}",
                true,
            ),
            ("email", "{{ ticket.title }}", true),
            ("email", " ", false),
        ] {
            let wrong = check(&texts("en", format, body));
            assert_eq!(wrong.is_empty(), fits, "{format} {body}: {wrong:?}");
            if !fits {
                assert_eq!(wrong[0].field, format!("/en/{format}/body"));
            }
        }
    }

    #[test]
    fn unknown_locales_formats_and_variables_are_named() {
        for (locale, format, body, field) in [
            ("fr", "email", "x", "/fr"),
            ("en", "fax", "x", "/en/fax"),
            ("en", "email", "{{ x }}", "/en/email/body"),
        ] {
            let wrong = check(&texts(locale, format, body));
            assert_eq!(wrong[0].field, field, "{wrong:?}");
        }
        assert_eq!(check(&Texts::new())[0].field, "");
    }

    #[test]
    fn a_format_without_a_text_uses_a_more_general_format() {
        let mut texts = texts("en", "default", "d");
        let body = |texts: &Texts, locale, format| {
            text_of(texts, locale, format).map(|text| text.body.clone())
        };
        assert_eq!(body(&texts, "en", "dingtalk"), Some("d".into()));
        assert_eq!(body(&texts, "zh-CN", "email"), None);
        let chat = Text {
            body: "c".into(),
            ..Text::default()
        };
        let formats = texts.get_mut("en").unwrap();
        formats.insert("chat".into(), chat);
        assert_eq!(body(&texts, "en", "wechat"), Some("c".into()));
        assert_eq!(body(&texts, "en", "email"), Some("d".into()));
        assert_eq!(format_of("dingtalk_robot"), "dingtalk");
        assert_eq!(format_of("slack_webhook"), "chat");
        assert!(has_own_body("sms") && !has_own_body("slack_webhook"));
        assert!(shows_body(&texts, "en", "email") && !shows_body(&texts, "en", "push"));
        let formats = texts.get_mut("en").unwrap();
        formats.insert("push".into(), Text::default());
        assert!(shows_body(&texts, "en", "push"));
    }

    #[test]
    fn a_masked_value_is_not_rendered_and_only_known_variables_are_masked() {
        let values = Values::from([
            ("ticket.id", "REQ1".to_owned()),
            ("ticket.title", "merger".to_owned()),
        ]);
        let mut text = Text {
            subject: "{{ ticket.title }}".into(),
            body: "{{ ticket.id }} {{ ticket.title }}{% if ticket.title == 'merger' %}!{% endif %} {{ ticket.node }}".into(),
            masked: vec!["ticket.title".into(), "ticket.node".into()],
        };
        let shown = rendered(&text, &Arc::new(values), Purpose::Message).unwrap();
        assert_eq!(shown.subject, "***");
        assert_eq!(shown.body, ["REQ1 *** ⟨ticket.node?⟩"]);
        // A masked value is short, so that it fits in a short message.
        assert!(check_text("/en/sms", "sms", &text).is_empty());
        text.masked = vec!["ticket.id".into()];
        let wrong = check_text("/en/sms", "sms", &text);
        assert_eq!(wrong[0].field, "/en/sms/masked");
        assert!(wrong[0].reason.contains("ticket.description"), "{wrong:?}");
    }

    #[test]
    fn a_rendered_body_has_no_control_characters() {
        let values = Values::from([("ticket.title", "a\u{202e}b".to_owned())]);
        let text = Text {
            subject: "x\r\nBcc: y".into(),
            body: "\n{{ ticket.title }}\r\n\n b\t c\n\n".into(),
            ..Text::default()
        };
        let rendered = rendered(&text, &Arc::new(values), Purpose::Message).unwrap();
        assert_eq!(rendered.subject, "x Bcc: y");
        assert_eq!(rendered.body, ["a b", "", "b c"]);
    }
}
