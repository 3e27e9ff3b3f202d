//! Decodes a log file to UTF-8. If the file starts with a byte order mark, this mark defines the
//! encoding. Otherwise, the encoding in the mapping (the import configuration) is used. The default
//! encoding is UTF-8.

use std::io::{self, Cursor, ErrorKind, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use infra::{Error, Kind};

/// Number of bytes that are read or decoded in one step.
const CHUNK: usize = 1 << 16;
/// Number of bytes at the start of a file that are used to detect the encoding. These bytes usually
/// contain the header line and some rows.
const HEAD_BYTES: usize = 512;
/// A byte that never occurs in UTF-8. The decoder writes this byte in place of invalid input. A
/// record with this byte is later rejected as invalid text.
const WRONG: u8 = 0xff;
/// Alternative names of encodings. Spreadsheet programs, Python and Windows use these names. The
/// second text of each entry is the name of the encoding in the WHATWG Encoding Standard.
const ALIASES: [(&str, &str); 13] = [
    ("utf-8-sig", "utf-8"),
    ("utf8-sig", "utf-8"),
    ("cp65001", "utf-8"),
    ("utf-16-le", "utf-16le"),
    ("utf-16-be", "utf-16be"),
    ("utf16", "utf-16"),
    ("latin-1", "windows-1252"),
    ("mac-roman", "macintosh"),
    ("cp936", "gbk"),
    ("cp932", "shift_jis"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("big5hkscs", "big5"),
];
/// The first bytes of files that are not plain text, such as archives. The second value of each
/// entry describes the file type for people. An error message contains this description after the
/// words `the file is`.
const OTHERS: [(&[u8], &str); 7] = [
    (
        b"PK\x03\x04",
        "a ZIP archive or a spreadsheet; save the sheet as CSV",
    ),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet; save the sheet as CSV"),
    (b"\x1f\x8b", "compressed twice; decompress it once"),
    (
        b"\xfd7zXZ",
        "compressed by xz; decompress it, or compress it by gzip",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd; decompress it, or compress it by gzip",
    ),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"%PDF-", "a PDF document; export the log as CSV"),
];

/// The decoded content of a file, and the encoding that was used.
pub struct Text {
    pub bytes: Box<dyn Read + Send>,
    pub encoding: &'static Encoding,
}

/// Returns the encoding with the given name. Returns `None` if the name is unknown.
pub fn encoding(name: &str) -> Option<&'static Encoding> {
    let name = name.trim().to_ascii_lowercase();
    let dashed = name.replace('_', "-");
    let alias = ALIASES
        .iter()
        .find(|(alias, _)| *alias == dashed)
        .map_or(dashed.as_str(), |(_, name)| name);
    Encoding::for_label_no_replacement(name.as_bytes())
        .or_else(|| Encoding::for_label_no_replacement(alias.as_bytes()))
}

/// Detects whether a text without a byte order mark is encoded in UTF-16. In UTF-16, many
/// characters have one zero byte. Returns the name of the UTF-16 variant, or `None` if the encoding
/// is not UTF-16.
fn seems_utf_16(head: &[u8]) -> Option<&'static str> {
    let zeros = |from: usize| {
        head.iter()
            .skip(from)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let is_many = even.max(odd) * 8 >= head.len() && even.min(odd) * 4 <= even.max(odd);
    (is_many && !head.is_empty()).then_some(if odd > even { "utf-16le" } else { "utf-16be" })
}

/// Detects the encoding of a file, and returns a reader for the decoded text. `named` is the
/// encoding in the mapping (the import configuration).
///
/// Returns an error if the file is encoded in UTF-32 or is not a text file.
pub fn decode(
    mut bytes: Box<dyn Read + Send>,
    named: Option<&'static Encoding>,
) -> Result<Text, Error> {
    let mut head = Vec::new();
    bytes
        .by_ref()
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|error| Error::because(Kind::Misconfigured, "cannot read the file", error))?;
    let wrong = |what: &str| Err(Error::new(Kind::Misconfigured, what));
    if let Some((_, what)) = OTHERS.iter().find(|(begin, _)| head.starts_with(begin)) {
        return wrong(&format!("the file is {what}"));
    }
    let (encoding, mark) = match head.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return wrong("the file is UTF-32; save it as UTF-8");
        }
        [0x84, 0x31, 0x95, 0x33, ..] => (GB18030, 4),
        [0xef, 0xbb, 0xbf, ..] => (UTF_8, 3),
        [0xff, 0xfe, ..] => (UTF_16LE, 2),
        [0xfe, 0xff, ..] => (UTF_16BE, 2),
        _ => (named.unwrap_or(UTF_8), 0),
    };
    let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
    if let Some(name) = seems_utf_16(&head).filter(|_| !is_wide) {
        return wrong(&format!(
            "the file has zero bytes, as UTF-16 has; name its encoding in the mapping: encoding = {name:?}"
        ));
    }
    let bytes = Cursor::new(head.split_off(mark)).chain(bytes);
    let bytes: Box<dyn Read + Send> = if encoding == UTF_8 {
        Box::new(bytes)
    } else {
        Box::new(Decoded::new(bytes, encoding))
    };
    Ok(Text { bytes, encoding })
}

/// A reader that decodes its input to UTF-8 step by step.
struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    input: Vec<u8>,
    /// The index of the first byte in `input` that is not decoded yet. The field `to` is the index
    /// after the last byte in `input`.
    from: usize,
    to: usize,
    is_last: bool,
    is_done: bool,
    output: Vec<u8>,
    /// The number of bytes in `output` that the reader has already returned.
    given: usize,
}

impl<R: Read> Decoded<R> {
    fn new(inner: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self {
            inner,
            decoder,
            input: vec![0; CHUNK],
            from: 0,
            to: 0,
            is_last: false,
            is_done: false,
            output: Vec::new(),
            given: 0,
        }
    }

    fn decode(&mut self) -> io::Result<()> {
        if self.from == self.to && !self.is_last {
            self.from = 0;
            self.to = loop {
                match self.inner.read(&mut self.input) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => break read?,
                }
            };
            self.is_last = self.to == 0;
        }
        self.output.resize(CHUNK, 0);
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
            &self.input[self.from..self.to],
            &mut self.output,
            self.is_last,
        );
        self.from += read;
        self.output.truncate(written);
        self.given = 0;
        match result {
            DecoderResult::InputEmpty => self.is_done = self.is_last,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => self.output.push(WRONG),
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() && !self.is_done {
            self.decode()?;
        }
        let rest = &self.output[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], name: Option<&str>) -> Result<Vec<u8>, String> {
        let named = name.map(|name| encoding(name).expect("a known encoding"));
        let mut text = decode(Box::new(Cursor::new(bytes.to_vec())), named)
            .map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        text.bytes
            .read_to_end(&mut read)
            .map_err(|error| error.to_string())?;
        Ok(read)
    }

    #[test]
    fn a_byte_order_mark_outweighs_the_mapping() {
        assert_eq!(
            read(b"\xef\xbb\xbf\xc3\xa9", Some("windows-1252")),
            Ok("é".into())
        );
        assert_eq!(read(b"\xff\xfea\0\xe9\0", None), Ok("aé".into()));
        assert_eq!(
            read(b"\xfe\xff\0a\0\xe9", Some("utf-16le")),
            Ok("aé".into())
        );
    }

    #[test]
    fn named_encodings_are_decoded() {
        assert_eq!(
            read(b"\xb4\xf2\xd3\xa1\xbb\xfa", Some("GB18030")),
            Ok("打印机".into())
        );
        assert_eq!(
            read(b"\xb4\xf2\xd3\xa1\xbb\xfa", Some("cp936")),
            Ok("打印机".into())
        );
        assert_eq!(read(b"caf\xe9", Some("latin-1")), Ok("café".into()));
        assert_eq!(read(b"a\0", Some("utf-16le")), Ok("a".into()));
        assert_eq!(read(b"\x84\x31\x95\x33\xb4\xf2", None), Ok("打".into()));
        for (name, wanted) in [
            ("UTF_8_SIG", "UTF-8"),
            ("shift_jis", "Shift_JIS"),
            ("latin_1", "windows-1252"),
            ("utf_16_le", "UTF-16LE"),
            ("cp65001", "UTF-8"),
        ] {
            assert_eq!(encoding(name).map(Encoding::name), Some(wanted), "{name}");
        }
        assert!(encoding("klingon").is_none());
    }

    #[test]
    fn bytes_outside_the_encoding_stay_invalid() {
        let read = read(b"a\xff\xffb", Some("gb18030")).expect("readable");
        assert!(read.starts_with(b"a") && read.contains(&WRONG), "{read:?}");
        assert!(self::read(b"a\0b\0", None).is_err_and(|error| error.contains("utf-16le")));
        assert!(self::read(b"\0a\0b\0,", None).is_err_and(|error| error.contains("utf-16be")));
        assert_eq!(
            self::read(b"id\0,when,state\n", None),
            Ok(b"id\0,when,state\n".to_vec()),
            "one zero byte is no UTF-16"
        );
        assert!(self::read(b"\x1f\x8b\x08", None).is_err_and(|error| error.contains("twice")));
        assert!(self::read(b"PK\x03\x04", None).is_err_and(|error| error.contains("spreadsheet")));
    }

    #[test]
    fn long_texts_are_decoded_in_chunks() {
        let text = "打印机坏了".repeat(CHUNK);
        let (bytes, _, _) = encoding_rs::GB18030.encode(&text);
        assert_eq!(read(&bytes, Some("gb18030")), Ok(text.into_bytes()));
    }
}
