//! Defines the content of a message to a person. The content has no format yet. A channel, such as e-mail,
//! converts the content to its own format.

use serde::{Deserialize, Serialize};

/// Maximum length of a value in a message, in characters. A longer value is cut.
const VALUE_MAX: usize = 400;
/// Maximum length of the subject of a short message, in characters.
const SHORT_MAX: usize = 60;

/// A link to a page of the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub text: String,
    pub url: String,
}

/// An action that the person can do from the message, such as an approval. A channel whose provider reports the press of
/// a button shows a button with `value`. Every other channel shows a link to `url`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The name of the action, such as `approve`.
    pub name: String,
    /// The text of the button in the language of the person.
    pub label: String,
    /// True for the most usual action. Channels highlight its button.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_primary: bool,
    /// A page of the desk on which the person confirms the action.
    pub url: String,
    /// A signed text of at most 200 ASCII characters that the provider returns with the press of the button.
    pub value: String,
}

/// The content of one message. All texts are plain text in one line. Each channel, such as e-mail, escapes the
/// texts for its own format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub subject: String,
    /// The first sentence of the message. The sentence contains the name of the person who gets the message.
    pub intro: String,
    /// Values of the ticket that the message shows, such as its priority. Each entry contains a label and a
    /// value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
    /// The lines of a text that an operator wrote (a notification template). If the list is not empty, the lines
    /// replace the intro, the values and the closing. [`Content::lines`] returns the lines to show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<String>,
    pub link: Link,
    /// The last sentence of the message. The sentence explains why the person gets the message.
    pub closing: String,
    /// A text that is equal in all messages about one ticket, such as the ticket number. With this text, an
    /// e-mail program, for example, can group the messages.
    pub thread: String,
    /// The actions that the person can do from the message, from the most to the least usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// One line of the text of a message. A channel escapes the texts of the line for its own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Text(&'a str),
    /// A label with its value.
    Value(&'a str, &'a str),
    /// The link to the ticket. A channel that shows the link as a button omits this line.
    Link(&'a Link),
    /// The explanation why the person gets the message.
    Closing(&'a str),
}

impl Content {
    /// Returns the lines of the text in their order, without the subject and the actions. If the message has a body,
    /// the lines are the body and the link. Otherwise, they are the intro, the values, the link and the closing.
    pub fn lines(&self) -> Vec<Line<'_>> {
        if self.body.is_empty() {
            let mut lines = vec![Line::Text(&self.intro)];
            let values = self.values.iter();
            lines.extend(values.map(|(label, value)| Line::Value(label, value)));
            lines.extend([Line::Link(&self.link), Line::Closing(&self.closing)]);
            lines
        } else {
            let body = self.body.iter().map(|line| Line::Text(line));
            body.chain([Line::Link(&self.link)]).collect()
        }
    }

    /// Returns the message with the lines of its body as its intro (the first line) and as values without labels (the
    /// other lines). Empty lines are omitted. A channel that shows the intro, the values and the closing then shows the
    /// body. A message without a body is not changed.
    #[must_use]
    pub fn flattened(&self) -> Self {
        let mut lines = self.body.iter().filter(|line| !line.is_empty());
        let Some(first) = lines.next() else {
            return self.clone();
        };
        Self {
            intro: first.clone(),
            values: lines.map(|line| (String::new(), line.clone())).collect(),
            closing: String::new(),
            ..self.clone()
        }
    }

    /// Returns the message without values, body and actions, with a short subject. The desk sends it if the complete
    /// message is too large for its provider.
    #[must_use]
    pub fn shortened(&self) -> Self {
        Self {
            subject: cut(&self.subject, SHORT_MAX),
            values: Vec::new(),
            body: Vec::new(),
            actions: Vec::new(),
            ..self.clone()
        }
    }
}

/// Returns a value of a message with its label. A value without a label, such as a line of a body, is returned alone.
pub fn labelled(label: &str, value: &str) -> String {
    if label.is_empty() {
        value.to_owned()
    } else {
        format!("{label}{}{value}", colon(label))
    }
}

/// Returns the colon between a label and its value. A label that ends in Chinese has the colon of the Chinese language.
pub fn colon(label: &str) -> &'static str {
    match label.chars().next_back() {
        Some('\u{4e00}'..='\u{9fff}' | '）' | '”') => "：",
        _ => ": ",
    }
}

/// Returns a text as one line of at most 400 characters. Control characters, invisible characters and
/// repeated whitespace become one space. A longer text is cut and ends with an ellipsis.
pub fn one_line(text: &str) -> String {
    cut(&joined(text), VALUE_MAX)
}

/// Returns a text as one line. Control characters, invisible characters and repeated whitespace become one space.
pub fn joined(text: &str) -> String {
    let spaced = |c: char| {
        if c.is_control() || is_invisible(c) {
            ' '
        } else {
            c
        }
    };
    let spaced: String = text.chars().map(spaced).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ")
}

/// Returns the beginning of a text, of at most `most` characters. A text that is cut ends with an ellipsis.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(most - 1).collect();
    format!("{}…", cut.trim_end())
}

/// Returns true for an invisible character. Such a character changes the direction of the following text,
/// separates lines, or has no width. With invisible characters, a text can look like another text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_body() -> Content {
        Content {
            subject: "s".into(),
            intro: "intro".into(),
            values: vec![("label".into(), "value".into())],
            body: Vec::new(),
            link: Link {
                text: "open".into(),
                url: "https://desk.example/tickets/REQ1".into(),
            },
            closing: "closing".into(),
            thread: "REQ1".into(),
            actions: Vec::new(),
        }
    }

    #[test]
    fn a_chinese_label_has_a_chinese_colon() {
        assert_eq!(labelled("优先级", "high"), "优先级：high");
        assert_eq!(labelled("Priority", "高"), "Priority: 高");
        assert_eq!(labelled("", "高"), "高");
    }

    #[test]
    fn a_body_replaces_the_built_in_lines() {
        let mut content = without_body();
        let link = content.link.clone();
        let expected = [
            Line::Text("intro"),
            Line::Value("label", "value"),
            Line::Link(&link),
            Line::Closing("closing"),
        ];
        assert_eq!(content.lines(), expected);
        content.body = vec!["first".into(), String::new()];
        let expected = [Line::Text("first"), Line::Text(""), Line::Link(&link)];
        assert_eq!(content.lines(), expected);
        let short = content.shortened();
        assert_eq!(short.lines()[0], Line::Text("intro"));
    }

    #[test]
    fn a_flattened_body_is_an_intro_and_values_without_labels() {
        let mut content = without_body();
        assert_eq!(content.flattened(), content);
        content.body = vec!["first".into(), String::new(), "second: 2".into()];
        let flattened = content.flattened();
        assert_eq!(flattened.intro, "first");
        assert_eq!(flattened.values, [(String::new(), "second: 2".to_owned())]);
        assert_eq!(flattened.closing, "");
        assert_eq!(flattened.lines(), content.lines());
        assert_eq!(flattened.flattened(), flattened);
        assert_eq!(content.shortened().flattened().intro, "intro");
        assert_eq!(labelled("", "value"), "value");
        assert_eq!(labelled("label", "value"), "label: value");
    }

    #[test]
    fn a_value_is_one_line_of_limited_length() {
        assert_eq!(
            one_line(" a\r\nBcc: x@y.example\t b "),
            "a Bcc: x@y.example b"
        );
        assert_eq!(one_line("a\u{202e}b\u{2028}c"), "a b c");
        assert_eq!(one_line(&"字".repeat(400)), "字".repeat(400));
        let cut = one_line(&"字".repeat(401));
        assert_eq!((cut.chars().count(), cut.ends_with("字…")), (400, true));
        assert_eq!(one_line(""), "");
    }
}
