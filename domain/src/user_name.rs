//! Reads user names from texts that people enter. The module defines the characters that separate two names,
//! and the characters that a name may contain.

/// Maximum length of a user name, in characters.
pub const NAME_MAX: usize = 64;

/// Returns true if the character separates two names in a list. Such characters are the normal comma and the
/// commas of Chinese and Japanese keyboards, including their forms for vertical text.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ',' | '，' | '、' | '､' | '﹐' | '﹑' | '\u{fe10}' | '\u{fe11}'
    )
}

/// Returns true if the character is whitespace of any width or is invisible. Examples of invisible characters
/// are the zero-width space and the byte order mark.
fn is_blank_char(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Removes whitespace and invisible characters from the start and the end of a text.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank_char)
}

/// Returns true if a text contains only whitespace and invisible characters.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_blank_char)
}

/// Splits a text into user names. Each name is returned without whitespace at its start and its end. Empty
/// names are omitted.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_separator)
        .map(trimmed)
        .filter(|part| !part.is_empty())
}

/// Returns true if a text is a valid user name. The name `system` is not valid, because it represents the
/// desk. A text with a separator is not valid, because it is a list of names. A text in the form of a person
/// id is not valid, because the desk displays the person id of an erased person instead of a name.
pub fn is_name(name: &str) -> bool {
    let is_forbidden = |c: char| {
        c.is_control()
            || is_blank_char(c)
            || is_separator(c)
            || matches!(
                c,
                '<' | '>'
                    | '\''
                    | '"'
                    | ';'
                    | '；'
                    | '﹔'
                    | '|'
                    | '｜'
                    | '/'
                    | '／'
                    | '\\'
                    | '＼'
                    | '。'
                    | '｡'
                    | '،'
                    | '؛'
                    | '\u{37e}'
                    | '\u{fe14}'
                    | '\u{1802}'
                    | '\u{1808}'
            )
    };
    !name.is_empty()
        && name != events::PersonId::system().as_str()
        && !events::PersonId::is_id(name)
        && name.chars().count() <= NAME_MAX
        && !name.chars().any(is_forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_all_keyboards_separate_names() {
        for text in [
            "zhangsan,wangwu",
            "zhangsan，wangwu",
            "zhangsan、wangwu",
            " zhangsan ,\u{3000}wangwu\u{200b},",
            "\u{feff}zhangsan､wangwu\u{a0}",
            "zhangsan\u{fe10}wangwu\u{fe11}",
        ] {
            assert_eq!(
                split(text).collect::<Vec<_>>(),
                ["zhangsan", "wangwu"],
                "{text:?}"
            );
        }
        assert_eq!(split(" ，、\u{200b}").count(), 0);
    }

    #[test]
    fn a_list_of_names_is_not_a_name() {
        for text in [
            "a,b",
            "a，b",
            "a、b",
            "a;b",
            "a；b",
            "a|b",
            "a/b",
            "a\\b",
            "a b",
            "a\u{3000}b",
            "a\u{a0}b",
            "a\u{200b}b",
            "a\nb",
            "",
            " ",
            "system",
        ] {
            assert!(!is_name(text), "{text:?}");
        }
        for name in [
            "zhangsan",
            "张三",
            "zhang.san-1_x@corp",
            "买买提·艾力",
            "zhangsan(张三)",
            "1001",
        ] {
            assert!(is_name(name), "{name}");
        }
    }

    #[test]
    fn a_text_of_invisible_characters_is_blank() {
        assert!(is_blank("") && is_blank(" \u{3000}\u{200b}\n"));
        assert!(!is_blank(" 。"));
    }
}
