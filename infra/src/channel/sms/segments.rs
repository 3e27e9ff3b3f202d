//! Counts the parts (segments) of a short message (reference/notifications.md, section 1.8). Operators of mobile networks
//! charge each segment. A text with only the characters of GSM-7 (3GPP TS 23.038, section 6.2.1) has the encoding GSM-7.
//! Every other text has the encoding UCS-2, for example a text with one Chinese character.

/// The encoding of a short message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 7 bits for each character. A character of the extension table needs two units.
    Gsm7,
    /// 16 bits for each unit of UTF-16. A character outside the basic plane, such as an emoji, needs two units.
    Ucs2,
}

impl Encoding {
    /// Returns the number of units in a message with one segment, and in each segment of a longer message. The segments
    /// of a longer message are shorter, because each one begins with a header.
    const fn capacity(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// The size of a short message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    pub encoding: Encoding,
    /// The number of units: septets of GSM-7, or units of UTF-16.
    pub units: usize,
    /// The number of segments. An empty text has none.
    pub segments: usize,
}

/// The characters of GSM-7 that need one unit, without the escape character.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The characters of the extension table of GSM-7. Each one needs two units.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Returns the number of units of a character in GSM-7, or `None` if GSM-7 does not contain the character.
fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        Some(1)
    } else {
        EXTENSION.contains(c).then_some(2)
    }
}

/// Returns the encoding, the units and the segments of a text (reference/notifications.md, section 1.8). The two units of
/// one character are never in two segments.
pub fn segments(text: &str) -> Segments {
    let gsm: Option<Vec<usize>> = text.chars().map(septets).collect();
    let (encoding, sizes) = gsm.map_or_else(
        || {
            let sizes: Vec<usize> = text.chars().map(char::len_utf16).collect();
            (Encoding::Ucs2, sizes)
        },
        |sizes| (Encoding::Gsm7, sizes),
    );
    let (single, part) = encoding.capacity();
    let units: usize = sizes.iter().sum();
    let segments = if units == 0 {
        0
    } else if units <= single {
        1
    } else {
        let (mut count, mut used) = (1, 0);
        for size in sizes {
            if used + size > part {
                count += 1;
                used = 0;
            }
            used += size;
        }
        count
    };
    Segments {
        encoding,
        units,
        segments,
    }
}

#[cfg(test)]
mod tests {
    use super::Encoding::{Gsm7, Ucs2};
    use super::*;

    #[test]
    fn texts_have_the_segments_of_their_encoding() {
        let long = |text: &str, count: usize| text.repeat(count);
        for (text, encoding, units, count) in [
            (String::new(), Gsm7, 0, 0),
            ("a".into(), Gsm7, 1, 1),
            ("@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ".into(), Gsm7, 29, 1),
            ("[REQ1] {a} ~ 5 €".into(), Gsm7, 22, 1),
            ("ç".into(), Ucs2, 1, 1),
            ("`".into(), Ucs2, 1, 1),
            ("…".into(), Ucs2, 1, 1),
            ("\t".into(), Ucs2, 1, 1),
            (long("a", 160), Gsm7, 160, 1),
            (long("a", 161), Gsm7, 161, 2),
            (long("a", 306), Gsm7, 306, 2),
            (long("a", 307), Gsm7, 307, 3),
            (long("€", 80), Gsm7, 160, 1),
            (format!("{}€", long("a", 159)), Gsm7, 161, 2),
            // 152 units fill the first segment, because the two units of the sign do not fit into the last one.
            (long("€", 153), Gsm7, 306, 3),
            (
                format!("{}€{}", long("a", 152), long("a", 152)),
                Gsm7,
                306,
                3,
            ),
            (
                format!("{}€{}", long("a", 151), long("a", 153)),
                Gsm7,
                306,
                2,
            ),
            (long("字", 70), Ucs2, 70, 1),
            (long("字", 71), Ucs2, 71, 2),
            (long("字", 134), Ucs2, 134, 2),
            (long("字", 135), Ucs2, 135, 3),
            (format!("{}字", long("a", 69)), Ucs2, 70, 1),
            (long("😀", 35), Ucs2, 70, 1),
            (long("😀", 36), Ucs2, 72, 2),
            // 67 is odd, so 33 pairs of units fit into a segment.
            (long("😀", 66), Ucs2, 132, 2),
            (long("😀", 67), Ucs2, 134, 3),
            (
                format!("{}😀{}", long("字", 66), long("字", 66)),
                Ucs2,
                134,
                3,
            ),
        ] {
            let expected = Segments {
                encoding,
                units,
                segments: count,
            };
            assert_eq!(segments(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_tables_have_the_size_of_the_standard() {
        // The standard has 128 positions. One of them is the escape character.
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(EXTENSION.chars().count(), 10);
        assert!(!BASIC.chars().any(|c| EXTENSION.contains(c)));
    }
}
