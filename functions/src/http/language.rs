//! Finds the language that a request prefers by its header `Accept-Language`.

use axum::http::{HeaderMap, header};
use events::person::Language;

/// Returns the language that the header `Accept-Language` prefers. The result is English if the header is absent or
/// contains neither Chinese nor English.
pub(super) fn accepted(headers: &HeaderMap) -> Language {
    let accepted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if prefers_chinese(accepted) {
        Language::Chinese
    } else {
        Language::English
    }
}

/// Returns whether the header `Accept-Language` prefers Chinese to English (RFC 9110 12.5.4).
/// Returns false if the header contains neither language.
fn prefers_chinese(header: &str) -> bool {
    let weight_of = |language: &str| {
        let weights = header.split(',').filter_map(|part| {
            let mut pieces = part.trim().split(';');
            let tag = pieces.next()?.trim().to_lowercase();
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q=")?.trim().parse::<f32>().ok())
                .unwrap_or(1.0);
            (tag.split('-').next() == Some(language)).then_some(weight)
        });
        weights.fold(0.0, f32::max)
    };
    weight_of("zh") > weight_of("en")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_follows_the_weights_of_accept_language() {
        for header in [
            "zh-CN,zh;q=0.9,en;q=0.8",
            "zh",
            "en;q=0.5, zh-TW",
            "fr, zh;q=0.1",
        ] {
            assert!(prefers_chinese(header), "{header}");
        }
        for header in [
            "",
            "en-US,en;q=0.9,zh;q=0.8",
            "de",
            "*",
            "zh;q=x;q=0.1,en;q=0.2",
            "zh;q=0",
        ] {
            assert!(!prefers_chinese(header), "{header}");
        }
    }
}
