//! Defines the content of a message before a channel formats it.

use serde::{Deserialize, Serialize};

/// Maximum length of a value in a message, in characters. A longer value is cut.
const VALUE_MAX: usize = 400;

/// A link to a page of the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub text: String,
    pub url: String,
}

/// The content of one message. All texts are plain text in one line. Each channel escapes the texts for its
/// own format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub subject: String,
    /// The first sentence, with the name of the person.
    pub intro: String,
    /// Labels with their values, such as the priority of the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
    pub link: Link,
    /// The last sentence, which gives the reason of the message.
    pub closing: String,
    /// The text that all messages about the same ticket have in common, such as the ticket number.
    pub thread: String,
}

/// Converts a text to one line of limited length. Control characters and repeated whitespace become one space.
/// A text that is too long ends with an ellipsis.
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
    let line = words.join(" ");
    if line.chars().count() <= VALUE_MAX {
        return line;
    }
    let cut: String = line.chars().take(VALUE_MAX - 1).collect();
    format!("{}…", cut.trim_end())
}

/// Returns true for characters that change the direction of the following text, or that separate lines. Such
/// characters can make a text look like another text.
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
