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

impl Content {
    /// Returns the message without values and actions, with a short subject. The desk sends it if the complete message is
    /// too large for its provider.
    #[must_use]
    pub fn shortened(&self) -> Self {
        Self {
            subject: cut(&self.subject, SHORT_MAX),
            values: Vec::new(),
            actions: Vec::new(),
            ..self.clone()
        }
    }
}

/// Returns a text as one line of at most 400 characters. Control characters, invisible characters and
/// repeated whitespace become one space. A longer text is cut and ends with an ellipsis.
pub fn one_line(text: &str) -> String {
    let spaced = |c: char| {
        if c.is_control() || is_invisible(c) {
            ' '
        } else {
            c
        }
    };
    let spaced: String = text.chars().map(spaced).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    cut(&words.join(" "), VALUE_MAX)
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
