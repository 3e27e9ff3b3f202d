//! Changes texts for other systems.

/// Returns the longest part of a text with at most `bytes` bytes. A text that is cut ends with an ellipsis.
pub fn cut(text: &str, bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= bytes {
        return text.to_owned();
    }
    let most = bytes.saturating_sub(ELLIPSIS.len_utf8());
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    let mut part = text[..end.unwrap_or_default()].trim_end().to_owned();
    part.push(ELLIPSIS);
    part
}
