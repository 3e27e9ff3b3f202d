//! Reads the records of a CSV file one after another, with limited memory. Each record contains the
//! number of its first line.
//!
//! Quotes follow RFC 4180. A value is a quoted value only if its first character is a quote. Spaces
//! before this quote are allowed. At any other position, a quote is an ordinary character.

use std::io::{self, ErrorKind, Read};

/// Maximum size of one record (one row of a CSV file), in bytes. The longest value in a real log is
/// a description of about 10 KiB. In a larger record, a closing quote is probably missing.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Number of bytes that one call reads from the file.
const CHUNK: usize = 1 << 16;

/// Returns a value without whitespace and zero-width characters at the start and the end.
/// Whitespace includes spaces, tabs, ideographic spaces and no-break spaces.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

/// Returns the name of a column with normalized whitespace. There is no whitespace at the start and
/// the end of the result. Each group of whitespace characters inside the name is replaced with one
/// space.
pub fn name_of(text: &str) -> String {
    trimmed(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The reason why a record of a CSV file is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The record has more than [`RECORD_BYTES_MAX`] bytes. The reader does not keep the values of
    /// such a record.
    TooLong,
    /// The file ends inside a value that starts with a quote.
    Unclosed {
        /// The number of the line that contains the opening quote.
        line: u64,
    },
    /// A value is not valid UTF-8.
    NotText {
        /// The index of the first column whose value is not valid. The first column of the file has
        /// the index 0.
        column: usize,
    },
}

/// One record (row) of a CSV file. One text contains all values of the record, without the
/// delimiters between the values.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The number of the line on which the record starts. The first line has the number 1.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Record {
    /// Returns the number of values in the record.
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    /// Returns the value of the column with the index `at`, without quotes around the value.
    /// Returns an empty text if the record has too few values.
    pub fn get(&self, at: usize) -> &str {
        let Some(end) = self.ends.get(at) else {
            return "";
        };
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[from..*end]
    }

    /// Returns all values of the record in the order of the columns.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.width()).map(|at| self.get(at))
    }
}

/// The state of the CSV reader, which depends on the last bytes of the current value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The reader is at the start of a value, or has read only spaces and tabs of this value.
    Blank,
    /// The reader is inside a value without quotes, or after the closing quote of a quoted value.
    Plain,
    Quoted,
    /// The previous character was a quote inside a quoted value. If the next character is also a
    /// quote, the two quotes mean one literal quote. Otherwise, the previous quote ends the quoted
    /// part.
    Closed,
}

/// Reads the records of a CSV file that is encoded in UTF-8.
pub struct Records<R> {
    input: R,
    delimiter: u8,
    chunk: Vec<u8>,
    at: usize,
    filled: usize,
    /// The number of the line that contains the next unread byte.
    line: u64,
    /// True if the previous byte was a carriage return. If the next byte is a line feed, both bytes
    /// are one line end.
    after_return: bool,
}

impl<R: Read> Records<R> {
    /// Creates a reader for the CSV text in `input`. `delimiter` separates the values. `line` is
    /// the line number of the first line in `input`.
    pub fn new(input: R, delimiter: u8, line: u64) -> Self {
        Self {
            input,
            delimiter,
            chunk: vec![0; CHUNK],
            at: 0,
            filled: 0,
            line,
            after_return: false,
        }
    }

    /// Returns the number of the line that contains the next unread byte.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Returns true if all bytes of the input were read.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.at == self.filled && !self.fill()?)
    }

    /// Reads the next record that is not a blank line into `record`. If the record is rejected, the
    /// inner `Err` is the reason. Returns `None` at the end of the input.
    pub fn read(&mut self, record: &mut Record) -> io::Result<Option<Result<(), Fault>>> {
        loop {
            let read = self.read_any(record)?;
            let is_blank = matches!(read, Some(Ok(())))
                && record.width() == 1
                && trimmed(record.get(0)).is_empty();
            if !is_blank {
                return Ok(read);
            }
        }
    }

    fn read_any(&mut self, record: &mut Record) -> io::Result<Option<Result<(), Fault>>> {
        let mut bytes = std::mem::take(&mut record.text).into_bytes();
        bytes.clear();
        record.ends.clear();
        if !self.skip_line_ends()? {
            return Ok(None);
        }
        record.line = self.line;
        let mut state = State::Blank;
        // `begin` is the start of the current value in `bytes`. `quote_line` is the line number of
        // the last opening quote, for an error message.
        let mut begin = 0;
        let mut quote_line = self.line;
        let mut is_long = false;
        loop {
            if self.at == self.filled && !self.fill()? {
                break;
            }
            let rest = &self.chunk[self.at..self.filled];
            let is_special = |byte: &u8| {
                matches!(byte, b'"' | b'\r' | b'\n')
                    || (*byte == self.delimiter && state != State::Quoted)
            };
            let run = rest.iter().position(is_special).unwrap_or(rest.len());
            if run > 0 {
                let text = &rest[..run];
                state = match state {
                    State::Quoted => State::Quoted,
                    State::Blank if text.iter().all(|byte| matches!(byte, b' ' | b'\t')) => {
                        State::Blank
                    }
                    _ => State::Plain,
                };
                if !is_long {
                    bytes.extend_from_slice(text);
                }
                self.after_return = false;
                self.at += run;
            }
            if !is_long && bytes.len() + record.ends.len() * size_of::<usize>() > RECORD_BYTES_MAX {
                is_long = true;
                bytes.clear();
                record.ends.clear();
            }
            let Some(special) = self.chunk[..self.filled].get(self.at).copied() else {
                continue;
            };
            match special {
                b'\r' | b'\n' => {
                    self.end_line(special);
                    if state != State::Quoted {
                        break;
                    }
                    if !is_long {
                        bytes.push(special);
                    }
                    continue;
                }
                b'"' => match state {
                    State::Blank => {
                        bytes.truncate(begin);
                        state = State::Quoted;
                        quote_line = self.line;
                    }
                    State::Quoted => state = State::Closed,
                    State::Closed | State::Plain => {
                        if !is_long {
                            bytes.push(special);
                        }
                        state = if state == State::Closed {
                            State::Quoted
                        } else {
                            State::Plain
                        };
                    }
                },
                _ => {
                    if !is_long {
                        record.ends.push(bytes.len());
                    }
                    begin = bytes.len();
                    state = State::Blank;
                }
            }
            self.after_return = false;
            self.at += 1;
        }
        if !is_long {
            record.ends.push(bytes.len());
        }
        let is_text = keep(record, bytes);
        Ok(Some(match is_text {
            _ if state == State::Quoted => Err(Fault::Unclosed { line: quote_line }),
            _ if is_long => Err(Fault::TooLong),
            Err(column) => Err(Fault::NotText { column }),
            Ok(()) => Ok(()),
        }))
    }

    /// Skips empty lines before a record. Returns false at the end of the input.
    fn skip_line_ends(&mut self) -> io::Result<bool> {
        loop {
            if self.at == self.filled && !self.fill()? {
                return Ok(false);
            }
            match self.chunk[self.at] {
                byte @ (b'\r' | b'\n') => self.end_line(byte),
                _ => return Ok(true),
            }
        }
    }

    /// Handles one byte of a line end, and counts the lines. A line ends with CR, with LF, or with
    /// CR and LF.
    fn end_line(&mut self, byte: u8) {
        if byte == b'\r' || !self.after_return {
            self.line += 1;
        }
        self.after_return = byte == b'\r';
        self.at += 1;
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.at = 0;
        self.filled = 0;
        loop {
            match self.input.read(&mut self.chunk) {
                Ok(read) => {
                    self.filled = read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Stores the bytes of all values in the record. If a value is not valid UTF-8, this function
/// stores replacement characters instead. In this case, the `Err` is the index of the first column
/// with such a value.
fn keep(record: &mut Record, bytes: Vec<u8>) -> Result<(), usize> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if record.ends.iter().all(|end| text.is_char_boundary(*end)) => {
            record.text = text;
            return Ok(());
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut wrong = None;
    let mut from = 0;
    for (column, end) in record.ends.iter_mut().enumerate() {
        let value = &bytes[from..*end];
        if wrong.is_none() && std::str::from_utf8(value).is_err() {
            wrong = Some(column);
        }
        from = *end;
        record.text.push_str(&String::from_utf8_lossy(value));
        *end = record.text.len();
    }
    Err(wrong.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all records of a CSV text. Returns the line number of each record, and either the
    /// values or the reason why the record is rejected.
    fn all(text: &[u8]) -> Vec<(u64, Result<Vec<String>, Fault>)> {
        let mut records = Records::new(text, b',', 1);
        let mut record = Record::default();
        let mut found = Vec::new();
        while let Some(read) = records.read(&mut record).expect("memory can be read") {
            found.push((
                record.line,
                read.map(|()| record.values().map(str::to_owned).collect()),
            ));
        }
        found
    }

    fn row(line: u64, values: &[&str]) -> (u64, Result<Vec<String>, Fault>) {
        (
            line,
            Ok(values.iter().map(|value| (*value).to_owned()).collect()),
        )
    }

    #[test]
    fn a_record_begins_on_its_physical_line() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "", "", "c,\"d", "", "e\"", "   ", "f,g", ""].join(end);
            let inner = format!("d{end}{end}e");
            assert_eq!(
                all(text.as_bytes()),
                [
                    row(1, &["a", "b"]),
                    row(4, &["c", &inner]),
                    row(8, &["f", "g"])
                ],
                "{end:?}"
            );
        }
    }

    #[test]
    fn quotes_open_values_at_their_beginning_only() {
        let text = b"\"a,\"\"b\"\"\", \"c, d\" ,5\" disk,\"\"\nx,,\"y\"z\n";
        assert_eq!(
            all(text),
            [
                row(1, &["a,\"b\"", "c, d ", "5\" disk", ""]),
                row(2, &["x", "", "yz"])
            ]
        );
    }

    #[test]
    fn an_unclosed_quote_is_named_by_its_line() {
        assert_eq!(
            all(b"a,b\nc,\"d\ne,f\n"),
            [row(1, &["a", "b"]), (2, Err(Fault::Unclosed { line: 2 }))]
        );
        assert_eq!(
            all(b"a,\"b\nc\",\"d\n"),
            [(1, Err(Fault::Unclosed { line: 2 }))]
        );
    }

    #[test]
    fn a_record_over_the_bound_is_dropped_and_reading_continues() {
        let long = "x".repeat(RECORD_BYTES_MAX + 1);
        let text = format!("a,b\n{long},\"{long}\n\"\nc,d\n");
        assert_eq!(
            all(text.as_bytes()),
            [
                row(1, &["a", "b"]),
                (2, Err(Fault::TooLong)),
                row(4, &["c", "d"])
            ]
        );
        let commas = ",".repeat(RECORD_BYTES_MAX);
        assert_eq!(
            all(format!("{commas}\nc,d").as_bytes()),
            [(1, Err(Fault::TooLong)), row(2, &["c", "d"])]
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_named_by_their_column() {
        assert_eq!(
            all(b"a,caf\xe9\n\xc3,\xa9\nc,d\n"),
            [
                (1, Err(Fault::NotText { column: 1 })),
                (2, Err(Fault::NotText { column: 0 })),
                row(3, &["c", "d"])
            ]
        );
    }
}
