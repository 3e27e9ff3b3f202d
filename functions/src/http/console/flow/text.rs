//! Measures, cuts and escapes the texts of a workflow picture.

/// Replaces white space with spaces and removes characters that must not appear in the picture. XML 1.0 forbids most
/// control characters. A control character for the text direction could reverse the following text of the picture.
pub(super) fn clean(text: &str) -> String {
    let text: String = text
        .chars()
        .filter_map(|c| match c {
            _ if c.is_whitespace() => Some(' '),
            _ if c.is_control() => None,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => None,
            _ => Some(c),
        })
        .collect();
    text.trim().to_owned()
}

/// Cleans a text, and escapes the text for XML element content and for quoted attribute values.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Returns the length of a text in half-width characters. A full-width character counts as two.
pub(super) fn units(text: &str) -> i64 {
    text.chars().map(char_units).sum()
}

fn char_units(c: char) -> i64 {
    let is_full_width = matches!(
        c,
        '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{303e}'
            | '\u{3041}'..='\u{a4cf}'
            | '\u{a960}'..='\u{a97c}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff01}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}'
    );
    if is_full_width { 2 } else { 1 }
}

/// Returns the length, in bytes, of the longest prefix of a text with at most `max` units. A unit is the width
/// of a half-width character.
fn fitting(text: &str, max: i64) -> usize {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += char_units(c);
        if used > max {
            return index;
        }
    }
    text.len()
}

/// Shortens a text to at most `max` units (half-width characters). A shortened text ends with an ellipsis.
pub(super) fn cut(text: &str, max: i64) -> String {
    if units(text) <= max {
        return text.to_owned();
    }
    let start = &text[..fitting(text, max - 1)];
    format!("{}…", start.trim_end())
}

/// Divides a text into at most `lines_max` lines of at most `max` units (half-width characters). `max` must be at least
/// 2. If the text is too long, the last line ends with an ellipsis. A line ends at a space only if all words after the
/// space fit into one more line. Otherwise, a line can end within a word.
pub(super) fn wrap(text: &str, max: i64, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && lines.len() < lines_max {
        if units(rest) <= max || lines.len() + 1 == lines_max {
            lines.push(cut(rest, max));
            break;
        }
        let end = fitting(rest, max);
        let end = match rest[..end].rfind(' ') {
            Some(space) if units(rest[space..].trim_start()) <= max => space,
            _ => end,
        };
        lines.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_characters_are_dropped_and_white_space_is_a_space() {
        assert_eq!(
            clean(" a\u{0}b\u{1b}\u{7f}c\td\ne\u{202e}f\u{ffff}\u{3000}"),
            "abc d ef"
        );
        assert_eq!(clean("\u{7}\u{9f}"), "");
        assert_eq!(clean("审批🚀"), "审批🚀");
    }

    #[test]
    fn special_characters_are_escaped_and_forbidden_ones_are_dropped() {
        assert_eq!(
            escape("<a href=\"x\">'&'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;"
        );
        assert_eq!(escape("a\u{1}b"), "ab");
    }

    #[test]
    fn full_width_characters_count_twice() {
        assert_eq!(units("ab审批"), 6);
        assert_eq!(units("！🚀한"), 6);
        assert_eq!(units(""), 0);
    }

    #[test]
    fn cut_texts_have_an_ellipsis_and_the_given_length() {
        assert_eq!(cut("审批", 4), "审批");
        assert_eq!(cut("审批节点", 5), "审批…");
        assert_eq!(cut("审批节点", 6), "审批…");
        assert_eq!(cut("abc defg", 5), "abc…");
        for max in 2..20 {
            for text in [
                "审批节点审批节点审批节点",
                "a审b批c节d点e",
                "abcdefghijklmnopqrst",
            ] {
                assert!(units(&cut(text, max)) <= max, "{text} in {max}");
            }
        }
    }

    #[test]
    fn long_texts_have_two_lines() {
        assert_eq!(wrap("经理审批", 16, 2), ["经理审批"]);
        assert_eq!(
            wrap("一二三四五六七八九十", 16, 2),
            ["一二三四五六七八", "九十"]
        );
        assert_eq!(
            wrap("一二三四五六七八九十一二三四五六七", 16, 2),
            ["一二三四五六七八", "九十一二三四五…"]
        );
        assert_eq!(
            wrap("Approval of the manager", 16, 2),
            ["Approval of the", "manager"]
        );
        assert_eq!(
            wrap("a bcdefghijklmnopqrstuvwxyz", 16, 2),
            ["a bcdefghijklmno", "pqrstuvwxyz"]
        );
        assert_eq!(wrap("  ", 16, 2), Vec::<String>::new());
    }
}
